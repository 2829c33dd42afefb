//go:build linux

package cluster

import (
	"fmt"
	"strings"
)

// logging writes everything to standard output, which is the node's log file. Its
// line "Kafka Server started" needs the logger kafka.server at INFO.
const logging = `appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n%throwable
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
`

// properties returns the server.properties of a node: small and quick to notice a
// dead peer, since it is there to be taken apart by tests.
func (c *Cluster) properties(n node) string {
	factor := len(c.state.Nodes)
	minISR := (factor + 1) / 2
	var voters []string
	for _, v := range c.state.Nodes {
		voters = append(voters, fmt.Sprintf("%d@%s:%d", v.ID, loopback, v.Controller))
	}
	listener := "PLAINTEXT"
	if c.state.Security != nil {
		listener = "SASL_SSL"
	}
	var b strings.Builder
	set := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	set("process.roles", "broker,controller")
	set("node.id", n.ID)
	set("broker.rack", fmt.Sprintf("r%d", n.ID))
	set("controller.quorum.voters", strings.Join(voters, ","))
	set("controller.listener.names", "CONTROLLER")
	set("listeners", fmt.Sprintf("%s://%s,CONTROLLER://%s:%d", listener, n.addr(), loopback, n.Controller))
	set("advertised.listeners", fmt.Sprintf("%s://%s", listener, n.addr()))
	set("listener.security.protocol.map", listener+":"+listener+",CONTROLLER:PLAINTEXT")
	set("inter.broker.listener.name", listener)
	set("log.dirs", c.path(n, "data"))
	set("auto.create.topics.enable", false)
	set("default.replication.factor", factor)
	set("min.insync.replicas", minISR)
	set("offsets.topic.replication.factor", factor)
	set("offsets.topic.num.partitions", coordinators)
	set("transaction.state.log.replication.factor", factor)
	set("transaction.state.log.min.isr", minISR)
	set("transaction.state.log.num.partitions", coordinators)
	set("share.coordinator.state.topic.replication.factor", factor)
	set("share.coordinator.state.topic.min.isr", minISR)
	set("group.initial.rebalance.delay.ms", 0)
	set("group.min.session.timeout.ms", 1000)
	set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 1000)
	set("broker.session.timeout.ms", 3000)
	set("broker.heartbeat.interval.ms", 500)
	set("log.segment.bytes", 64<<20)
	set("log.cleaner.dedupe.buffer.size", 4<<20)
	if s := c.state.Security; s != nil {
		const jaas = `org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`
		set("sasl.enabled.mechanisms", mechanism)
		set("sasl.mechanism.inter.broker.protocol", mechanism)
		set("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", fmt.Sprintf(jaas, s.Admin.Name, s.Admin.Password))
		set("ssl.keystore.type", "PKCS12")
		set("ssl.keystore.location", c.file(keyStore))
		set("ssl.keystore.password", s.Store)
		set("ssl.truststore.type", "PKCS12")
		set("ssl.truststore.location", c.file(trustStore))
		set("ssl.truststore.password", s.Store)
		set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
		set("super.users", "User:"+s.Admin.Name+";User:ANONYMOUS")
	}
	return b.String()
}
