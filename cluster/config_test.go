package cluster

import (
	"fmt"
	"strings"
	"testing"
)

func TestConfigCheck(t *testing.T) {
	if got := problems(Config{}.Defaults()); got != "" {
		t.Errorf("the defaults: %s", got)
	}
	for _, test := range []struct {
		config Config
		want   string // begin of the only problem
	}{
		{Config{URL: "nats://a:4222, tls://b:4222", Credentials: "x", CA: "y"}, ""},
		{Config{URL: "a:4222"}, `url: url has "a:4222"; use "nats://host:4222"`},
		{Config{URL: "http://a"}, `url: url has "http://a"; use`},
		{Config{Credentials: "x"}, `credentials: credentials = "x" is for servers that run already, but url names none`},
		{Config{CA: "x"}, `ca: ca = "x" is for servers`},
		{Config{Host: "10.1.0.0/33"}, `host: host = "10.1.0.0/33" is no network`},
		{Config{Host: "ib0"}, ""},
		{Config{JoinTimeout: 0.5}, "join_timeout: join_timeout = 0.5 is out of bounds; use 1 to 86400 seconds"},
		{Config{JoinTimeout: -1}, "join_timeout: "},
		{Config{Heartbeat: 0.1}, "heartbeat: heartbeat = 0.1 is out of bounds; use 0.5 to 3600 seconds"},
	} {
		got := problems(test.config.Defaults())
		if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("%+v: %q, want %q", test.config, got, test.want)
		}
	}
}

func problems(c Config) string {
	var list []string
	c.Check(func(key, message string) { list = append(list, key+": "+message) })
	return strings.Join(list, "\n")
}

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		host string
		id   Identity
		want string
	}{
		{"", Identity{Nodes: 1}, "127.0.0.1"},
		{"ib0", Identity{Nodes: 1}, "127.0.0.1"},
		{"ib0", Identity{Nodes: 2, Host: "10.0.0.1"}, "10.0.0.1"},
		{"127.0.0.0/8", Identity{Nodes: 2}, "127.0.0.1"},
		{"lo", Identity{Nodes: 2}, "127.0.0.1"},
		{"ib77", Identity{Nodes: 2}, `cluster.host = "ib77": this node has no such interface with an address; it has lo`},
		{"203.0.113.0/24", Identity{Nodes: 2}, `cluster.host = "203.0.113.0/24": this node has no address in that network; it has 127.0.0.1/8`},
	} {
		got, err := Config{Host: test.host}.address(test.id)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("host = %q, %+v: %s, want %s", test.host, test.id, got, test.want)
		}
	}
}

func TestFromEnv(t *testing.T) {
	full := "SALTERN_RANK=3 SALTERN_WORLD_SIZE=4 SALTERN_LOCAL_RANK=1 SALTERN_LOCAL_SIZE=2 SALTERN_NODE=1 SALTERN_NODES=2 SALTERN_JOB=12-0 SALTERN_RENDEZVOUS=/x"
	for _, test := range []struct{ why, env, want string }{
		{"alone", "PATH=/bin", "alone"},
		{"all", full, "{Job:12-0 Rank:3 Size:4 Node:1 Nodes:2 LocalRank:1 LocalSize:2 Dir:/x NodeNames:[] Host: Version: Digest:}"},
		{"one node", "SALTERN_RANK=1 SALTERN_WORLD_SIZE=2 SALTERN_JOB=a", "{Job:a Rank:1 Size:2 Node:0 Nodes:1 LocalRank:1 LocalSize:2 Dir: NodeNames:[] Host: Version: Digest:}"},
		{"half", "SALTERN_RANK=1 SALTERN_JOB=a", "SALTERN_RANK is set but SALTERN_WORLD_SIZE is not; whoever starts the ranks must set all"},
		{"the other half", "SALTERN_WORLD_SIZE=2", "SALTERN_WORLD_SIZE is 2 but SALTERN_RANK is not set; set both, or neither"},
		{"a part of the places", strings.Replace(full, "SALTERN_NODES=2", "", 1), "SALTERN_RANK is set but SALTERN_NODES is not"},
		{"no job", strings.Replace(full, "SALTERN_JOB=12-0", "", 1), "SALTERN_RANK is set but SALTERN_JOB is not"},
		{"a bad name", strings.Replace(full, "12-0", "a.b", 1), `the job's name "a.b" is not of letters, digits, - and _`},
		{"no number", strings.Replace(full, "RANK=3", "RANK=x", 1), `SALTERN_RANK is "x", which is no whole number`},
		{"out of the world", strings.Replace(full, "RANK=3", "RANK=4", 1), "rank 4 is not one of 4; they count from 0"},
		{"no such node", strings.Replace(full, "NODE=1", "NODE=2", 1), "node 2 is not one of 2"},
		{"rank 0 elsewhere", strings.Replace(full, "RANK=3", "RANK=0", 1), "rank 0 must be the first rank of node 0, not local rank 1 of node 1"},
	} {
		env := map[string]string{}
		for _, f := range strings.Fields(test.env) {
			name, value, _ := strings.Cut(f, "=")
			env[name] = value
		}
		id, ok, err := FromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		got := fmt.Sprintf("%+v", id)
		switch {
		case err != nil:
			got = err.Error()
		case !ok:
			got = "alone"
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s, want %s", test.why, got, test.want)
		}
	}
}
