package embedded

import (
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A User may connect by SASL.
type User struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name      string
	Password  string
	// Restricted is a user who may do only what Grants say; any other may do
	// everything.
	Restricted bool
	Grants     []Grant
}

// A Grant lets a user do one thing with one resource, or forbids it.
type Grant struct {
	Kind      string // topic, group, transactional_id or cluster
	Name      string // * is all of the kind
	Operation string // read, write, create, describe, idempotent_write or all
	Deny      bool   // forbids it, whatever else lets the user do it
}

// admitting lets the users in, and asks for permissions if one is restricted.
func admitting(users []User) []kfake.Opt {
	if len(users) == 0 {
		return nil
	}
	options := []kfake.Opt{kfake.EnableSASL()}
	restricted := false
	for _, u := range users {
		if !u.Restricted {
			options = append(options, kfake.Superuser(u.Mechanism, u.Name, u.Password))
			continue
		}
		restricted = true
		acls := make([]kfake.ACL, len(u.Grants))
		for i, g := range u.Grants {
			acls[i] = g.acl()
		}
		options = append(options, kfake.User(u.Mechanism, u.Name, u.Password, acls...))
	}
	if restricted {
		options = append(options, kfake.EnableACLs())
	}
	return options
}

func (g Grant) acl() kfake.ACL {
	kinds := map[string]kmsg.ACLResourceType{
		"topic": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup,
		"transactional_id": kmsg.ACLResourceTypeTransactionalId, "cluster": kmsg.ACLResourceTypeCluster,
	}
	operations := map[string]kmsg.ACLOperation{
		"read": kmsg.ACLOperationRead, "write": kmsg.ACLOperationWrite, "create": kmsg.ACLOperationCreate,
		"describe": kmsg.ACLOperationDescribe, "idempotent_write": kmsg.ACLOperationIdempotentWrite, "all": kmsg.ACLOperationAll,
	}
	name := g.Name
	if g.Kind == "cluster" {
		name = "kafka-cluster"
	}
	return kfake.ACL{
		Resource: kinds[g.Kind], Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral,
		Operation: operations[g.Operation], Allow: !g.Deny,
	}
}
