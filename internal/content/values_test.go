package content

import (
	"strings"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	own := map[string]string{"accessKeyID": "AKIAOWN", "secretAccessKey": "own-secret"}
	in := input(1)
	in.Values = own
	out := string(mustMake(t, "aws-credentials", in).Content)
	if !strings.Contains(out, "= AKIAOWN\n") || !strings.Contains(out, "= own-secret\n") || finds([]byte(out), in.TokenID) {
		t.Errorf("content:\n%s", out)
	}
}

// Every kind takes what it says it takes, and puts it in.
func TestEveryValue(t *testing.T) {
	const key = "-----BEGIN PRIVATE KEY-----\nT1dO\n-----END PRIVATE KEY-----\n"
	for _, kind := range Kinds() {
		if kind.make == nil {
			continue
		}
		in := input(1)
		in.Values = map[string]string{}
		for _, v := range kind.Values {
			in.Values[v.Name] = "own-" + strings.ToLower(v.Name)
			if v.pem {
				in.Values[v.Name] = key
			}
		}
		out := mustMake(t, kind.Name, in)
		if err := Check(kind.Name, "", in.Values); err != nil {
			t.Errorf("%s: %v", kind.Name, err)
		}
		if !strings.Contains(string(out.Content), "own-") && !strings.Contains(string(out.Content), "T1dO") && kind.Name != "docker-config" {
			t.Errorf("%s:\n%s", kind.Name, out.Content)
		}
		if finds(out.Content, in.TokenID) {
			t.Errorf("%s: still carries the id", kind.Name)
		}
	}
}

func TestBadValues(t *testing.T) {
	tests := []struct {
		kind   string
		values map[string]string
		want   string
	}{
		{"aws-credentials", map[string]string{"accessKeyId": "x"},
			`values: unknown name "accessKeyId": kind aws-credentials takes accessKeyID, secretAccessKey and, if wanted, region`},
		{"aws-credentials", map[string]string{"accessKeyID": "x"},
			`values: secretAccessKey is missing: kind aws-credentials takes accessKeyID, secretAccessKey and, if wanted, region`},
		{"github-token", map[string]string{"key": "x"}, `values: unknown name "key": kind github-token takes token`},
		{"github-token", map[string]string{"token": ""}, `values: token: is empty`},
		{"github-token", map[string]string{"token": "a\nb"}, `values: token: must be one line of printable text, has '\n'`},
		{"github-token", map[string]string{"token": " a"}, `values: token: must not begin or end with a space`},
		{"github-token", map[string]string{"token": strings.Repeat("a", maxValue+1)}, `values: token: 16385 bytes, at most 16384 are allowed`},
		{"ssh-private-key", map[string]string{"privateKey": "abc"}, `values: privateKey: is not PEM (-----BEGIN …)`},
		{"docker-config", map[string]string{"registry": "r", "username": "a:b", "password": "c"}, `values: username: the format has no way to write ':'`},
		{"env-file", map[string]string{"databaseURL": "a'b"}, `values: databaseURL: quotes, backslashes, dollar signs, spaces and # have to be percent-encoded`},
		{"netrc", map[string]string{"machine": "a", "login": "b", "password": "c d"}, `values: password: the format has no way to write ' '`},
		{"pgpass", map[string]string{"host": "#", "user": "b", "password": "c"}, `values: host: a line that starts with # is a comment`},
		{"npmrc", map[string]string{"token": "a;b"}, `values: token: the format has no way to write ';'`},
	}
	for _, test := range tests {
		err := Check(test.kind, "", test.values)
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s %v: %v\nwant %s", test.kind, test.values, err, test.want)
		}
	}
	if err := Check("nonsense", "", nil); err == nil || !strings.Contains(err.Error(), `kind "nonsense" makes no content; these do: aws-credentials, `) {
		t.Errorf("unknown kind: %v", err)
	}
	for _, kind := range []string{"template", "generic"} {
		if err := Check(kind, "", nil); err == nil {
			t.Errorf("%s makes a content of nothing", kind)
		}
	}
}

func TestTemplate(t *testing.T) {
	in := input(1)
	in.Values = map[string]string{"url": "https://own.internal/x"}
	in.Template = `{{/* all functions */}}id={{id}} pw={{password}}
{{random 8 "ab"}} {{alnum 5}} {{digits 6}} {{hex 4}} {{base64 3}} {{uuid}} {{between -2 5}} {{pick "x" "y"}}
{{encode "hi"}} {{lower "AB"}} {{upper "ab"}} {{date "2006-01-02"}} {{unix}} {{value "url"}}
{{.Namespace}}/{{.Pod}}/{{.Container}}/{{.Token}} {{$u := upper .Pod}}{{$u}} {{if eq .Namespace "shop"}}yes{{else}}no{{end}}{{with "z"}}{{.}}{{end}}
`
	out := mustMake(t, "whatever", in)
	text := string(out.Content)
	for _, want := range []string{"id=" + in.TokenID, "aGk= ab AB " + out.ModTime.Format(time.DateOnly), "https://own.internal/x",
		"shop/shop-7d9f/app/token SHOP-7D9F yesz"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !finds(out.Content, in.TokenID) {
		t.Error("the id is not found")
	}
	if again := mustMake(t, "whatever", in); string(again.Content) != text {
		t.Error("the same placement has another content")
	}
	// The password alone carries the id, too.
	in.Template = "secret: {{password}}"
	if out := mustMake(t, "x", in); !finds(out.Content, in.TokenID) {
		t.Errorf("the id is not found in %s", out.Content)
	}
}

// None of these may run long or take much memory.
func TestHostileTemplates(t *testing.T) {
	tests := map[string]string{
		"range":     `{{range 1000000000}}x{{end}}`,
		"nested":    `{{if true}}{{with 1}}{{range 99999999}}{{end}}{{end}}{{end}}`,
		"itself":    `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`,
		"block":     `{{block "a" .}}{{end}}`,
		"template":  `{{template "template"}}`,
		"printf":    `{{printf "%1000000000d" 1}}`,
		"call":      `{{call .Pod}}`,
		"js":        `{{js "x" | js | js}}`,
		"long":      `{{alnum 65537}}`,
		"negative":  `{{hex -1}}`,
		"much":      strings.Repeat(`{{alnum 65000}}`, 100),
		"variable":  `{{$x := alnum 60000}}` + strings.Repeat(`{{$x = encode $x}}`, 50),
		"in sum":    `{{$x := alnum 60000}}` + strings.Repeat(`{{$y := upper $x}}`, 3000),
		"unknown":   `{{env "HOME"}}`,
		"field":     `{{.Secret}}`,
		"value":     `{{value "none"}}`,
		"open":      `{{id`,
		"parens":    `{{` + strings.Repeat("(", 60000),
		"alphabet":  `{{random 5 ""}}`,
		"bytes":     `{{random 5 "äö"}}`,
		"backwards": `{{between 5 1}}`,
		"large":     strings.Repeat("x", MaxTemplate+1),
		"nothing":   `{{pick}}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := Check("template", text, nil)
			if err == nil {
				t.Error("no error")
			} else if len(err.Error()) > 1000 || strings.Count(err.Error(), "template:") > 1 {
				t.Errorf("error: %.300s", err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	if err := Check("template", "x", map[string]string{"a b": "c"}); err == nil || !strings.Contains(err.Error(), `name "a b"`) {
		t.Errorf("bad name: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{{id}} {{password}} {{if .Pod}}{{random 3 "ab"}}{{end}}`)
	f.Add(`{{with $x := (upper "a")}}{{$x | encode | lower}}{{end}}`)
	f.Fuzz(func(t *testing.T, text string) {
		in := input(1)
		in.Template = text + " "
		if out, err := NewMaker([32]byte{}).Make("template", in); err == nil && len(out.Content) > maxContent {
			t.Errorf("%d bytes", len(out.Content))
		}
	})
}
