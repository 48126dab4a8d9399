package content

// Names that are in use anywhere. Hosts lie below .internal, which ICANN has
// reserved for private use in 2024, or below the cluster's own domain: nobody's
// host is ever asked because somebody used a token.
var (
	projectNames = []string{
		"atlas", "beacon", "borealis", "cascade", "catalog", "checkout", "compass", "delta", "falcon", "fulfil", "gateway",
		"harbor", "horizon", "inventory", "juniper", "ledger", "lumen", "mercury", "meridian", "nimbus", "onyx", "orders",
		"orion", "payments", "pegasus", "polaris", "pricing", "quartz", "relay", "search", "shipping", "sierra", "summit",
		"tempo", "titan", "vega", "vertex", "zephyr",
	}
	stageNames    = []string{"prod", "production", "prd", "live", "staging", "stg"}
	roleNames     = []string{"deploy", "deployer", "ci", "ci-deploy", "backup", "etl", "svc-api", "svc-worker", "readonly", "admin", "release", "automation"}
	personNames   = []string{"alex", "andrea", "chris", "daniel", "elena", "jan", "jonas", "julia", "kim", "lukas", "maria", "markus", "mia", "nina", "noah", "olivia", "pavel", "robin", "sam", "sofia", "tom", "yuki"}
	machineNames  = []string{"bastion", "build", "ci-runner", "deploy", "jump", "mgmt", "ops", "runner", "tools"}
	databaseNames = []string{"app", "billing", "catalog", "core", "customers", "identity", "inventory", "main", "orders", "payments", "reporting", "shop", "users"}
	regionNames   = []string{"eu-central-1", "eu-west-1", "eu-west-2", "us-east-1", "us-east-2", "us-west-2", "ap-southeast-1", "ap-northeast-1", "ca-central-1"}
)

// project is a name that a team could have given, the same throughout a token.
func (j *job) project() string { return j.stream("project").pick(projectNames) }

func (j *job) stage() string { return j.stream("stage").pick(stageNames) }

// host is a host of the project's.
func (j *job) host(purpose string) string {
	return purpose + "." + j.project() + ".internal"
}

func (j *job) database() (host, name, user string) {
	s := j.stream("database")
	name = s.pick(databaseNames)
	switch s.below(3) {
	case 0:
		host = "postgres-" + name + "." + j.project() + ".svc.cluster.local"
	case 1:
		host = "pg-" + name + "-" + s.text(digits[1:4], 1) + "." + j.project() + ".internal"
	default:
		host = "db-" + j.stage() + "." + j.project() + ".internal"
	}
	return host, name, name + s.pick([]string{"", "_app", "_rw", "_svc", "_owner"})
}
