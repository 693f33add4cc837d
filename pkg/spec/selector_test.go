package spec

import "testing"

func TestSelector(t *testing.T) {
	web := map[string]string{"app": "web", "tier": "front", "example.com/x": "1", "empty": ""}
	tests := []struct {
		in   string
		want bool
	}{
		{"", true},
		{" , ", false},
		{"app=web", true},
		{"app==web", true},
		{" app = web , tier = front ", true},
		{"app=db", false},
		{"app!=db", true},
		{"app!=web", false},
		{"none!=web", true},
		{"app in (db, web)", true},
		{"app in(db,web)", true},
		{"app in (db)", false},
		{"none in (db)", false},
		{"app notin (db, cache),tier=front", true},
		{"app notin (web)", false},
		{"none notin (web)", true},
		{"app", true},
		{"none", false},
		{"!app", false},
		{"!none", true},
		{"! none", true},
		{"example.com/x=1", true},
		{"empty=", true},
		{"none=", false},
		{"empty in ()", true},
	}
	for _, tt := range tests {
		s, err := ParseSelector(tt.in)
		if tt.in == " , " {
			if err == nil {
				t.Errorf("%q is taken for a selector", tt.in)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := s.Matches(web); got != tt.want {
			t.Errorf("%q matches: %t", tt.in, got)
		}
	}
}

func TestSelectorRefusesWhatItDoesntUnderstand(t *testing.T) {
	for _, in := range []string{
		"=web", "app=a=b", "app=we b", "app in web", "app in (web", "app within (web)", "app web", "!", "a,,b", "-a=b", "app>1", "app=web)", "in (a)", "app in (a b)", "!app=web", "app in (a),",
	} {
		if s, err := ParseSelector(in); err == nil {
			t.Errorf("%q is taken for %+v", in, s)
		}
	}
}
