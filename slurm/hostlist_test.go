package slurm

import (
	"slices"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	for list, want := range map[string]string{
		"":                           "",
		"login1":                     "login1",
		"gpu[001-004,007],login1":    "gpu001 gpu002 gpu003 gpu004 gpu007 login1",
		"node[9-11]":                 "node9 node10 node11",
		"node[09-11]":                "node09 node10 node11",
		"node[099-101]":              "node099 node100 node101",
		"r[1-2]n[01-02]":             "r1n01 r1n02 r2n01 r2n02",
		"r[1-2]n[1-2]-ib,a,b[3]":     "r1n1-ib r1n2-ib r2n1-ib r2n2-ib a b3",
		"node0":                      "node0",
		"n[0-1]":                     "n0 n1",
		"a-b[1,3-4].example.org,c.d": "a-b1.example.org a-b3.example.org a-b4.example.org c.d",
	} {
		got, err := Hosts(list)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("Hosts(%q) = %q, %v; want %q", list, got, err, want)
		}
	}
}

func TestHostsSaysWhatIsWrong(t *testing.T) {
	for list, want := range map[string]string{
		"a[1-":            "not closed",
		"a]":              "closes nothing",
		"a[[1]]":          "within a bracket",
		"a[x]":            `"x" is no number`,
		"a[3-1]":          "runs backwards",
		"a[]":             `"" is no number`,
		"a,,b":            "empty name",
		",a":              "empty name",
		"a,":              "empty name",
		"a[1-2-3]":        "is no number",
		"a[1-999999999]":  "more than",
		"a[1-600][1-600]": "more than",
		"a[+1]":           "is no number",
	} {
		got, err := Hosts(list)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "host list") {
			t.Errorf("Hosts(%q) = %q, %v; want an error with %q", list, got, err, want)
		}
	}
}

// FuzzHosts wants no panic, no more hosts than allowed, and none with a bracket or comma left in it.
func FuzzHosts(f *testing.F) {
	for _, list := range []string{"gpu[001-004,007],login1", "r[1-2]n[01-02]", "a[", "a[1-999999999999]", "[0]", "a[1,2]b[3-4]c"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		hosts, err := Hosts(list)
		if err != nil {
			return
		}
		if len(hosts) > MaxHosts {
			t.Fatalf("%q names %d hosts", list, len(hosts))
		}
		for _, h := range hosts {
			if h == "" || strings.ContainsAny(h, "[],") {
				t.Fatalf("%q names %q", list, h)
			}
		}
		// A list of plain names reads as itself.
		if again, err := Hosts(strings.Join(hosts, ",")); err != nil || !slices.Equal(again, hosts) {
			t.Fatalf("%q: %q read again is %q, %v", list, hosts, again, err)
		}
	})
}

func TestTasksPerNode(t *testing.T) {
	for list, want := range map[string][]int{"1": {1}, "2(x3),1": {2, 2, 2, 1}, "4,2(x2)": {4, 2, 2}} {
		if got, err := TasksPerNode(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("TasksPerNode(%q) = %v, %v; want %v", list, got, err, want)
		}
	}
	for _, list := range []string{"", "x", "2(x", "2(x)", "2(x0)", "0", "-1", "1,", "2x3)", "1(x999999999)"} {
		if got, err := TasksPerNode(list); err == nil {
			t.Errorf("TasksPerNode(%q) = %v, want an error", list, got)
		}
	}
}
