package spec

import (
	"encoding/json"
	"fmt"
)

// MarshalJSON writes a plain value as a bare string, anything else as an object.
func (e EnvVar) MarshalJSON() ([]byte, error) {
	if e.Value != nil && e.FromFile == "" && e.FromEnv == "" && e.Digest == "" {
		return json.Marshal(*e.Value)
	}
	type plain EnvVar
	return json.Marshal(plain(e))
}

// UnmarshalJSON reads a bare string or an object.
func (e *EnvVar) UnmarshalJSON(b []byte) error {
	*e = EnvVar{}
	switch b[0] {
	case '"':
		return json.Unmarshal(b, &e.Value)
	case '{':
		type plain EnvVar
		return json.Unmarshal(b, (*plain)(e))
	}
	return fmt.Errorf("an environment variable is a string or {value|fromFile|fromEnv: STRING}, not %.20s", b)
}

// secret says whether its value is one that is never shown.
func (e EnvVar) secret() bool { return e.FromFile != "" || e.FromEnv != "" }
