package content

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

func (j *job) env() ([]byte, error) {
	host, name, user := j.database()
	dsn := j.value("databaseURL", func(s *stream) string {
		return fmt.Sprintf("postgres://%s:%s@%s:5432/%s?sslmode=require", user, j.password(s), host, name)
	})
	if strings.ContainsAny(dsn, "'\"\\`$ #") {
		return nil, errors.New("values: databaseURL: quotes, backslashes, dollar signs, spaces and # have to be percent-encoded")
	}
	s := j.stream("env")
	lines := []string{
		"APP_ENV=" + s.pick([]string{"production", "prod", "staging"}),
		"LOG_LEVEL=" + s.pick([]string{"info", "warn", "error"}),
		"PORT=" + s.pick([]string{"3000", "5000", "8000", "8080", "9000"}),
		"DATABASE_URL=" + dsn,
		"REDIS_URL=redis://" + j.host("redis") + ":6379/" + s.text(digits[:4], 1),
		"SESSION_SECRET=" + hex.EncodeToString(s.bytes(32)),
	}
	if s.below(2) == 0 {
		lines = append(lines, "SMTP_HOST="+j.host("smtp"), "SMTP_PORT=587")
	}
	return []byte(strings.Join(lines, "\n") + "\n"), nil
}

type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Auth string `json:"auth"`
}

func (j *job) docker() ([]byte, error) {
	registry := j.value("registry", func(s *stream) string { return j.host(s.pick([]string{"registry", "harbor", "docker", "images"})) })
	user := j.value("username", func(s *stream) string {
		return "robot$" + j.project() + "+" + s.pick([]string{"ci", "pull", "push", "deploy"})
	})
	if err := noneOf("username", user, ":"); err != nil {
		return nil, err
	}
	password := j.value("password", j.password)
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	data, err := indented(dockerConfig{Auths: map[string]dockerAuth{registry: {Auth: auth}}})
	// The client writes tabs and no newline at the end (cli/config/configfile).
	return bytes.TrimSuffix(bytes.ReplaceAll(data, []byte("  "), []byte("\t")), []byte("\n")), err
}

func (j *job) npm() ([]byte, error) {
	registry := j.value("registry", func(*stream) string { return "registry.npmjs.org" })
	registry = strings.TrimSuffix(strings.TrimPrefix(registry, "https://"), "/")
	token := j.value("token", func(s *stream) string { return "npm_" + j.checked(s) })
	if err := errors.Join(noneOf("registry", registry, " =;#:@"), noneOf("token", token, " ;#")); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if j.stream("npmrc").below(2) == 0 {
		fmt.Fprintf(&b, "@%s:registry=https://%s/\n", j.project(), registry)
	}
	fmt.Fprintf(&b, "//%s/:_authToken=%s\n", registry, token)
	return b.Bytes(), nil
}

func (j *job) pypi() ([]byte, error) {
	token := j.value("token", func(s *stream) string { return pypiPrefix + base64.RawURLEncoding.EncodeToString(j.macaroon(s)) })
	return fmt.Appendf(nil, "[distutils]\nindex-servers =\n    pypi\n\n[pypi]\nusername = __token__\npassword = %s\n", token), nil
}

const pypiPrefix = "pypi-"

// macaroon is what PyPI's API tokens are, in the binary format 2 of
// libmacaroons: location, an identifier (the token's UUID), one caveat that
// binds it to a user, and an HMAC-SHA-256, 32 bytes that look random.
func (j *job) macaroon(s *stream) []byte {
	const location, caveat = "pypi.org", `[3,"%s"]`
	field := func(b []byte, kind byte, data string) []byte {
		return append(append(b, kind, byte(len(data))), data...)
	}
	b := []byte{2}
	b = field(b, 1, location)
	b = field(b, 2, s.uuid())
	b = append(b, 0)
	b = field(b, 2, fmt.Sprintf(caveat, s.uuid()))
	b = append(b, 0, 0)
	signature := s.bytes(32)
	copy(signature[signatureOffset:], j.id[:])
	return field(b, macaroonSignature, string(signature))
}

const (
	macaroonSignature = 6
	signatureOffset   = 9
)

func (j *job) netrc() ([]byte, error) {
	machine := j.value("machine", func(s *stream) string {
		return j.host(s.pick([]string{"git", "gitlab", "nexus", "artifactory", "api"}))
	})
	login := j.value("login", func(s *stream) string { return s.pick(roleNames) })
	password := j.value("password", j.password)
	for name, v := range map[string]string{"machine": machine, "login": login, "password": password} {
		if err := noneOf(name, v, " \"#\\"); err != nil {
			return nil, err
		}
	}
	if j.stream("netrc").below(2) == 0 {
		return fmt.Appendf(nil, "machine %s login %s password %s\n", machine, login, password), nil
	}
	return fmt.Appendf(nil, "machine %s\nlogin %s\npassword %s\n", machine, login, password), nil
}

func (j *job) pgpass() ([]byte, error) {
	host, name, user := j.database()
	fields := []string{
		j.value("host", func(*stream) string { return host }),
		j.value("port", func(*stream) string { return "5432" }),
		j.value("database", func(s *stream) string { return s.pick([]string{name, name, "*"}) }),
		j.value("user", func(*stream) string { return user }),
		j.value("password", j.password),
	}
	for i, f := range fields {
		fields[i] = strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(f)
	}
	if strings.HasPrefix(fields[0], "#") {
		return nil, errors.New("values: host: a line that starts with # is a comment")
	}
	return []byte(strings.Join(fields, ":") + "\n"), nil
}
