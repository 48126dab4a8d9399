package exporter

import (
	"slices"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	const R = redacted
	for _, c := range []struct{ in, want []string }{
		{[]string{"cat", "/root/.aws/credentials"}, []string{"cat", "/root/.aws/credentials"}},
		{[]string{"app", "--password", "hunter2", "--port", "80"}, []string{"app", "--password", R, "--port", "80"}},
		{[]string{"app", "--password=hunter2"}, []string{"app", "--password=" + R}},
		{[]string{"app", "-api-key=hunter2", "-v"}, []string{"app", "-api-key=" + R, "-v"}},
		{[]string{"app", "--token", "--verbose", "x"}, []string{"app", "--token", "--verbose", "x"}},
		{[]string{"app", "--password-file", "/etc/pw", "--token-path=/x"}, []string{"app", "--password-file", "/etc/pw", "--token-path=/x"}},
		{[]string{"env", "DB_PASSWORD=hunter2", "PATH=/bin", "app"}, []string{"env", "DB_PASSWORD=" + R, "PATH=/bin", "app"}},
		{[]string{"env", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=hunter2"}, []string{"env", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=" + R}},
		{[]string{"docker", "run", "-e", "MYSQL_PWD=hunter2", "img"}, []string{"docker", "run", "-e", "MYSQL_PWD=" + R, "img"}},
		{[]string{"mysql", "-u", "bob", "-phunter2", "db"}, []string{"mysql", "-u", "bob", "-p" + R, "db"}},
		{[]string{"mkdir", "-p", "/x"}, []string{"mkdir", "-p", "/x"}},
		{[]string{"sshpass", "-p", "hunter2", "ssh", "host"}, []string{"sshpass", "-p", R, "ssh", "host"}},
		{[]string{"/usr/bin/redis-cli", "-a", "hunter2", "get", "k"}, []string{"/usr/bin/redis-cli", "-a", R, "get", "k"}},
		{[]string{"curl", "-u", "bob:hunter2", "https://h"}, []string{"curl", "-u", "bob:" + R, "https://h"}},
		{[]string{"curl", "--user=bob:hunter2", "https://h"}, []string{"curl", "--user=bob:" + R, "https://h"}},
		{[]string{"curl", "-H", "Authorization: Bearer hunter2hunter2"}, []string{"curl", "-H", "Authorization: " + R}},
		{[]string{"curl", "-H", "X-Vault-Token: hunter2"}, []string{"curl", "-H", "X-Vault-Token: " + R}},
		{[]string{"curl", "-d", `{"user":"bob","password":"hunter2 x","n":1}`}, []string{"curl", "-d", `{"user":"bob","password":` + R + `,"n":1}`}},
		{[]string{"curl", "https://h/x?user=bob&access_token=hunter2&n=1"}, []string{"curl", "https://h/x?user=bob&access_token=" + R + "&n=1"}},
		{[]string{"psql", "postgres://bob:hun@ter2@db:5432/shop"}, []string{"psql", "postgres://bob:" + R + "@db:5432/shop"}},
		{[]string{"git", "clone", "https://ghp_0123456789abcdefghijABCDEFGHIJ456789@github.com/x"}, []string{"git", "clone", "https://" + R + "@github.com/x"}},
		// Rather too much than too little: the semicolon might belong to it.
		{[]string{"sh", "-c", `mysql -phunter2 -e "select 1" && export TOKEN=hunter2; curl -u 'bob:hunter2' http://h`},
			[]string{"sh", "-c", `mysql -p` + R + ` -e "select 1" && export TOKEN=` + R + ` curl -u 'bob:` + R + ` http://h`}},
		{[]string{"kubectl", "create", "secret", "generic", "s", "--from-literal=a=hunter2", "--from-literal", "b=hunter2"},
			[]string{"kubectl", "create", "secret", "generic", "s", "--from-literal=a=" + R, "--from-literal", "b=" + R}},
		{[]string{"openssl", "enc", "-k", "hunter2", "-in", "x"}, []string{"openssl", "enc", "-k", R, "-in", "x"}},
		{[]string{"echo", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"}, []string{"echo", R}},
		{[]string{"app", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.hunter2"}, []string{"app", R}},
	} {
		if got := redact(c.in, false); !slices.Equal(got, c.want) {
			t.Errorf("redact(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
	}
	cut := []string{"psql", "postgres://bob:hunt"}
	if got := redact(cut, true); strings.Contains(got[1], "hunt") {
		t.Errorf("a password whose end was cut off: %q", got)
	}
}

func TestSanitiseModes(t *testing.T) {
	in := []string{"app", "--password=hunter2"}
	for mode, want := range map[ArgsMode][]string{
		ArgsRedacted: {"app", "--password=" + redacted}, ArgsFull: in, ArgsOff: nil,
	} {
		got := sanitiseArgs(in, mode, false)
		if !slices.Equal(got.args, want) || got.redacted != (mode == ArgsRedacted) || got.truncated {
			t.Errorf("%s: %+v", mode, got)
		}
	}
	if in[1] != "--password=hunter2" {
		t.Error("the access was changed")
	}
	if got := sanitiseArgs(in, ArgsFull, true); !got.truncated {
		t.Error("truncated in the kernel, and not told")
	}
}

func TestArgsBounds(t *testing.T) {
	for name, in := range map[string][]string{
		"many":  slices.Repeat([]string{"x"}, 1000),
		"long":  {strings.Repeat("ä", 10000)},
		"both":  slices.Repeat([]string{strings.Repeat("y", 1000)}, 100),
		"giant": {strings.Repeat("z", 1<<20), "end"},
	} {
		for _, mode := range []ArgsMode{ArgsRedacted, ArgsFull} {
			got := sanitiseArgs(in, mode, false)
			checkBounds(t, got)
			if !got.truncated || len(got.args) == 0 {
				t.Errorf("%s, %s: %d elements, truncated %v", name, mode, len(got.args), got.truncated)
			}
		}
	}
}

func checkBounds(t *testing.T, got sanitisedArgs) {
	t.Helper()
	size := 0
	for _, a := range got.args {
		size += len(a)
		if len(a) > maxArgBytes {
			t.Errorf("element of %d bytes", len(a))
		}
	}
	if size > maxArgsBytes || len(got.args) > maxArgs {
		t.Errorf("%d bytes in %d elements", size, len(got.args))
	}
}

// FuzzSecretNeverTold puts a secret where the sanitiser promises to find it,
// beside text of any kind, and looks for it in what comes out.
func FuzzSecretNeverTold(f *testing.F) {
	f.Add("app", "x", uint8(0))
	f.Add("sh -c", "a b 'c", uint8(5))
	f.Add("--", `"`, uint8(11))
	const secret = "Zq7Rw9Xv3Kt5"
	forms := [][]string{
		{"--password", secret}, {"--password=" + secret}, {"DB_PASSWORD=" + secret}, {"-token=" + secret},
		{"https://bob:" + secret + "@host/x"}, {"mysql", "-p" + secret}, {"sshpass", "-p", secret},
		{"curl", "-u", "bob:" + secret}, {"Authorization: Bearer " + secret}, {`{"password":"` + secret + `"}`},
		{"sh", "-c", "export API_TOKEN=" + secret}, {"https://h/?access_token=" + secret}, {"redis-cli", "-a", secret},
		{"--client-secret", secret}, {"glpat-" + secret + secret},
	}
	f.Fuzz(func(t *testing.T, before, after string, n uint8) {
		form := forms[int(n)%len(forms)]
		args := slices.Concat([]string{before}, form, []string{after})
		if strings.Contains(before+after, secret) || strings.HasSuffix(before, "-") {
			return
		}
		got := sanitiseArgs(args, ArgsRedacted, false)
		if strings.Contains(strings.Join(got.args, " "), secret) {
			// The element before may be a flag that takes the first of the
			// form's words as its value: then the form has lost its head.
			if strings.HasPrefix(before, "-") && len(form) > 1 {
				return
			}
			t.Fatalf("%q\nshows %q", args, got.args)
		}
	})
}

// FuzzSanitise: bounded, element by element, and nothing that wasn't there:
// what stands between the marks stands in the argument, in that order.
func FuzzSanitise(f *testing.F) {
	f.Add("curl -u a:b", "--password", "x=\xff")
	f.Add("https://a:b@c", "-----BEGIN PRIVATE KEY-----", "mysql -pfoo")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := []string{a, b, c}
		got := sanitiseArgs(in, ArgsRedacted, false)
		checkBounds(t, got)
		if got.truncated {
			return
		}
		if len(got.args) != len(in) || got.redacted == slices.Equal(got.args, in) {
			t.Fatalf("%q became %+v", in, got)
		}
		for i, arg := range got.args {
			rest := in[i]
			for piece := range strings.SplitSeq(arg, redacted) {
				_, after, found := strings.Cut(rest, piece)
				if !found {
					t.Fatalf("%q became %q: %q isn't from there", in[i], arg, piece)
				}
				rest = after
			}
		}
	})
}

// FuzzSplitShell: the pieces are the line, and white space stands alone
// outside of quotes.
func FuzzSplitShell(f *testing.F) {
	f.Add(`a "b c" d`)
	f.Add("  x\t'y")
	f.Fuzz(func(t *testing.T, line string) {
		if got := strings.Join(splitShell(line), ""); got != line {
			t.Fatalf("%q became %q", line, got)
		}
	})
}
