package main

import (
	"fmt"
	"strings"
)

// block returns the commands of the fenced block that a comment marks.
func block(readme, name string) (commands string, err error) {
	mark := "<!-- cleanroom: " + name + " -->"
	_, after, found := strings.Cut("\n"+readme, "\n"+mark+"\n")
	if !found {
		return "", fmt.Errorf("cleanroom: README.md has no line %s: write it above the fenced block", mark)
	}
	if strings.Contains("\n"+after, "\n"+mark+"\n") {
		return "", fmt.Errorf("cleanroom: README.md has more than one line %s: keep one", mark)
	}
	opening, rest, _ := strings.Cut(strings.TrimLeft(after, "\n"), "\n")
	if opening != "```sh" {
		return "", fmt.Errorf("cleanroom: README.md: behind %s comes %q: open the block with ```sh", mark, opening)
	}
	commands, _, found = strings.Cut(rest+"\n", "\n```\n")
	if !found || strings.Contains(commands, "```") || strings.TrimSpace(commands) == "" {
		return "", fmt.Errorf("cleanroom: README.md: the block behind %s is empty or never closed", mark)
	}
	return commands + "\n", nil
}
