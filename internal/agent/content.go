package agent

import (
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/content"
	"github.com/beesting-otel/beesting/internal/state"
)

// WantCostlyContent reports whether the content of one of the tokens takes long to make.
func WantCostlyContent(tokens []beesting.Token) bool {
	return slices.ContainsFunc(tokens, func(t beesting.Token) bool {
		return t.Generate && t.Template == "" && content.Costly(t.Kind)
	})
}

// fill puts the token's content into its file, and the time at which it was
// written: as if it had been there for long.
func (a *Agent) fill(f *state.File, c beesting.Container, token beesting.Token, born time.Time) error {
	seed := a.identity.Seed(c.ID, token.Name)
	if !token.Generate {
		f.Content, f.ModTime = token.Content, content.ModTime(seed, born)
		return nil
	}
	made, err := a.maker.Make(token.Kind, content.Input{
		TokenID: a.identity.TokenID(c.ID, token.Name), Seed: seed, Time: born,
		Token: token.Name, Container: c.Name, Pod: c.Pod.Name, Namespace: c.Pod.Namespace,
		Template: token.Template, Values: token.Values,
	})
	f.Content, f.ModTime = made.Content, made.ModTime
	return err
}
