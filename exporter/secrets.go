package exporter

import (
	"path"
	"regexp"
	"strings"
)

// redact replaces what looks like a secret in an argument vector: values of
// flags and variables whose name says so, passwords in URLs and headers,
// known short flags of known programs, and strings in the shape of known
// tokens. It is made to take too much rather than too little. What it can't
// know: a bare word that happens to be a password ("echo hunter2").
//
// atEnd says that the vector was cut off at its end.
func redact(args []string, atEnd bool) []string {
	out := make([]string, len(args))
	var s scrubber
	for i, arg := range args {
		out[i] = s.element(arg)
	}
	if last := len(out) - 1; atEnd && last >= 0 {
		// The "@" after a password may be in the part that is gone.
		out[last] = urlPasswordCut.ReplaceAllString(out[last], "://${1}:"+redacted)
	}
	return out
}

// scrubber walks over the words of a command line.
type scrubber struct {
	program string              // the known program whose flags are being read, or ""
	next    func(string) string // hides the secret in the next word, if that is a flag's value
}

// element handles one element of the vector. One with white space in it is a
// line of shell, JSON or a header more often than not: patterns first, then
// its words.
func (s *scrubber) element(arg string) string {
	if s.next != nil && !isLongFlag(arg) {
		return s.value(arg)
	}
	arg = scrubPatterns(arg)
	if !strings.ContainsAny(arg, " \t\r\n") {
		return s.word(arg)
	}
	var b strings.Builder
	inner := scrubber{program: s.program}
	for _, piece := range splitShell(arg) {
		if strings.TrimSpace(piece) == "" {
			b.WriteString(piece)
			continue
		}
		b.WriteString(inner.word(piece))
	}
	return b.String()
}

// value hides the secret in the value of the flag before it.
func (s *scrubber) value(w string) string {
	hide := s.next
	s.next = nil
	return hide(w)
}

// word handles one word, which may be quoted if it came out of a line of shell.
func (s *scrubber) word(w string) string {
	bare := strings.Trim(w, `"'`)
	if s.next != nil && !isLongFlag(bare) {
		return s.value(w)
	}
	s.next = nil
	if known := programOf(bare); known != "" {
		s.program = known
	}
	name, _, hasValue := strings.Cut(bare, "=")
	switch {
	case strings.HasPrefix(bare, "-") && len(bare) > 1:
		return s.flag(w, name, hasValue)
	case hasValue && variable.MatchString(name) && secretName(name):
		return hideAfter(w, "=")
	default:
		return w
	}
}

// flag handles -f, -fVALUE, --flag and --flag=VALUE.
func (s *scrubber) flag(w, name string, hasValue bool) string {
	rule := programFlags[s.program]
	for attached := range strings.FieldsSeq(rule.attached) {
		if i := strings.Index(w, attached); strings.HasPrefix(name, attached) && len(w) > i+len(attached) {
			return w[:i+len(attached)] + redacted
		}
	}
	hide := rule.hide(name)
	switch {
	case hide == nil:
		return w
	case hasValue:
		i := strings.Index(w, "=") + 1
		return w[:i] + hide(w[i:])
	default:
		s.next = hide
		return w
	}
}

// hide gives the function that hides the secret in the value of a flag, nil
// if the flag carries none.
func (p programFlag) hide(name string) func(string) string {
	has := func(list string) bool { return strings.Contains(list, " "+name+" ") }
	switch {
	case secretName(strings.TrimLeft(name, "-")), has(p.next):
		return func(string) string { return redacted }
	case has(p.user):
		return func(w string) string { return hideAfter(w, ":%") }
	case has(p.pairs):
		return func(w string) string { return hideAfter(w, "=") }
	default:
		return nil
	}
}

// hideAfter hides what follows the first of the separators in w.
func hideAfter(w, separators string) string {
	if i := strings.IndexAny(w, separators); i >= 0 && i+1 < len(w) {
		return w[:i+1] + redacted
	}
	return w
}

func isLongFlag(s string) bool { return strings.HasPrefix(s, "--") && len(s) > 2 }

// programFlag lists the flags of a program that carry secrets but whose names
// don't say so. Each list has spaces around its entries.
type programFlag struct {
	next     string // the next word is the secret
	attached string // the secret follows in the same word
	user     string // user:password follows
	pairs    string // key=value follows, and the value is the secret
}

var mysqlFlags = programFlag{attached: " -p "}

// programFlags is by base name of the executable.
var programFlags = map[string]programFlag{
	"mysql": mysqlFlags, "mysqldump": mysqlFlags, "mysqladmin": mysqlFlags, "mysqlimport": mysqlFlags,
	"mariadb": mysqlFlags, "mariadb-dump": mysqlFlags, "mariadb-admin": mysqlFlags,
	"sshpass":    {next: " -p ", attached: " -p "},
	"redis-cli":  {next: " -a ", attached: " -a "},
	"curl":       {next: " --oauth2-bearer --proxy-header ", user: " -u --user -U --proxy-user ", attached: " -u -U "},
	"docker":     {next: " -p "},
	"podman":     {next: " -p "},
	"ldapsearch": {next: " -w ", attached: " -w "},
	"ldapadd":    {next: " -w ", attached: " -w "},
	"ldapmodify": {next: " -w ", attached: " -w "},
	"smbclient":  {user: " -U --user "},
	"openssl":    {next: " -passin -passout -k -K "},
	"zip":        {next: " -P ", attached: " -P "},
	"unzip":      {next: " -P ", attached: " -P "},
	"7z":         {attached: " -p "},
	"ssh-keygen": {next: " -N -P "},
	"keytool":    {next: " -storepass -keypass "},
	"mongo":      {next: " -p "},
	"mongosh":    {next: " -p "},
	"sqlcmd":     {next: " -P ", attached: " -P "},
	"kubectl":    {pairs: " --from-literal "},
}

func programOf(word string) string {
	base := path.Base(word)
	if _, known := programFlags[base]; known {
		return base
	}
	return ""
}

// secretName reports whether the name of a flag, variable or setting says that
// its value is secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, suffix := range []string{"file", "path", "dir", "stdin"} {
		if strings.HasSuffix(name, suffix) {
			return false // the value says where the secret is, which is worth knowing
		}
	}
	compact := joined(name)
	if strings.HasSuffix(compact, "accesskeyid") || compact == "oldpwd" || compact == "bypass" {
		return false
	}
	return secretPart.MatchString(compact)
}

// joined is a name without what its words are put together with.
func joined(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, name)
}

// splitShell splits a line into words and the white space between them, with
// quotes kept together; strings.Join(splitShell(s), "") is s.
func splitShell(line string) []string {
	var pieces []string
	start, inSpace := 0, false
	var quote byte
	for i := range len(line) {
		c := line[i]
		space := quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0
		if i > start && space != inSpace {
			pieces = append(pieces, line[start:i])
			start = i
		}
		inSpace = space
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	if start < len(line) {
		pieces = append(pieces, line[start:])
	}
	return pieces
}

var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	// secretPart is matched against a name in lower case without separators.
	secretPart = regexp.MustCompile(`password|passwd|passphrase|passcode|secret|token|apikey|accesskey|privatekey|accountkey|sharedkey|encryptionkey|signingkey|masterkey|sessionkey|sessionid|credential|authorization|bearer|cookie|connectionstring|^pwd$|.pwd$|pass$|^auth$|^sig$|signature`)

	urlPassword    = regexp.MustCompile(`://([^\s/:@]*):[^\s]+@`)
	urlPasswordCut = regexp.MustCompile(`://([^\s/:@]*):[^\s@]*$`)
	header         = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|[a-z0-9-]*(?:token|secret|api-?key|-auth)[a-z0-9-]*)(\s*:\s*)[^"'\r\n]+`)
	scheme         = regexp.MustCompile(`(?i)\b(bearer|basic|negotiate|digest)(\s+)[A-Za-z0-9._~+/=-]{8,}`)
	// setting finds name=value and name: value anywhere, JSON and query strings included.
	setting = regexp.MustCompile(`(?i)([\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|account[-_.]?key|shared[-_.]?key|credential|signature|session[-_.]?id)[\w.-]*["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&|}"')]+)`)
	// shapes are tokens that can be told by their form alone.
	shapes     = regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|[sr]k_(?:live|test)_\w{10,}|hv[sb]\.[\w-]{16,}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{20,}|dckr_pat_[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)`)
	privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

// scrubPatterns replaces what can be told without knowing the word's place.
// Most arguments are a flag or a path: they are spared the slower patterns.
func scrubPatterns(s string) string {
	if strings.Contains(s, "-----BEGIN ") {
		s = privateKey.ReplaceAllString(s, redacted)
	}
	if strings.Contains(s, "://") {
		s = urlPassword.ReplaceAllString(s, "://${1}:"+redacted+"@")
	}
	if strings.Contains(s, ":") {
		s = header.ReplaceAllString(s, "${1}${2}"+redacted)
	}
	if strings.ContainsAny(s, " \t\r\n") {
		s = scheme.ReplaceAllString(s, "${1}${2}"+redacted)
	}
	if strings.ContainsAny(s, ":=") {
		s = setting.ReplaceAllStringFunc(s, hideSetting)
	}
	if strings.ContainsAny(s, "_-.A") {
		s = shapes.ReplaceAllString(s, redacted)
	}
	return s
}

// hideSetting keeps the values of names that only sound secret, such as
// "--password-file: /x".
func hideSetting(match string) string {
	groups := setting.FindStringSubmatch(match)
	name := strings.TrimRight(groups[1], "\"' \t\r\n:=")
	if !secretName(name) {
		return match
	}
	return groups[1] + redacted
}
