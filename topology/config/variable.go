package config

import (
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:[^}]*)?\}`)

// substitute replaces ${NAME} and ${NAME:default} in a scalar, and $${ by ${. A
// value is never substituted again. It returns the character index at which
// something is wrong, and what.
func substitute(text string, getenv func(string) (string, bool)) (string, []misuse) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	var wrong []misuse
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			out.WriteString("${")
			i += len("$${")
		case strings.HasPrefix(rest, "${"):
			m := variable.FindStringSubmatch(rest)
			if m == nil {
				wrong = append(wrong, misuse{i, `"${" begins no ${NAME} or ${NAME:default}; write "$${" for the characters themselves`})
				out.WriteString("${")
				i += len("${")
				continue
			}
			value, ok := getenv(m[1])
			switch {
			case ok:
				out.WriteString(value)
			case m[2] != "":
				out.WriteString(m[2][1:])
			default:
				wrong = append(wrong, misuse{i, fmt.Sprintf("variable %s is not set; set it, or give it a default: ${%s:...}", m[1], m[1])})
			}
			i += len(m[0])
		default:
			out.WriteByte(text[i])
			i++
		}
	}
	return out.String(), wrong
}

// misuse is a byte index into a scalar and what is wrong there.
type misuse struct {
	at   int
	text string
}
