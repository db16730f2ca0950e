package jobs

import (
	"cmp"
	"errors"
	"os"
	"strconv"

	"saltern/compute"
	"saltern/jobs/place"
	"saltern/slurm"
)

// node is this machine as the process sees it.
func (o IO) node() (n place.Node, err error) {
	if n.Devices, err = compute.Devices(o.validation()); err != nil {
		return n, withHints(err)
	}
	n.Env, n.Sys = o.Env, os.DirFS("/sys")
	if n.Env == nil {
		n.Env = func(string) (string, bool) { return "", false }
	}
	return n, nil
}

// askedDevice is the selector that decides: SALTERN_DEVICE is this process's alone, what the job or a flag says is for all ranks.
func (o IO) askedDevice(selector string) string {
	if o.Env == nil {
		return selector
	}
	own, _ := o.Env("SALTERN_DEVICE")
	return cmp.Or(own, selector)
}

// pickDevice is the index of the device that selector names, or where nobody names one that of the local rank, of those that are
// granted to this process.
func (o IO) pickDevice(selector string, local int) (string, error) {
	if selector = o.askedDevice(selector); selector != "" {
		return selector, nil
	}
	n, err := o.node()
	if err != nil {
		return "", err
	}
	c, err := n.ForRank(local)
	return strconv.Itoa(c.Index), placeKind(err)
}

// pickAlone is pickDevice for a process that is alone: the most capable device, unless a variable limits it to some.
func (o IO) pickAlone(selector string) (string, error) {
	if selector = o.askedDevice(selector); selector != "" || o.Env == nil || (place.Node{Env: o.Env}).Limits() == "" {
		return selector, nil
	}
	return o.pickDevice("", 0)
}

// placeKind is the error of a placement as one of the environment's, unless it is that of missing devices.
func placeKind(err error) error {
	if err == nil || KindOf(err) != Failed {
		return err
	}
	return &Error{NoDevice, err}
}

// placeTable has a row for each rank of this node: the device that it would take, and what granted that. tasks is how many ranks
// there are; 0: as many as devices.
func placeTable(n place.Node, tasks int) (t Table, err error) {
	t.Columns = []Column{
		{Key: "local_rank", Title: "local rank"}, {Key: "index", Title: "#"}, {Key: "name", Title: "name"}, {Key: "pci", Title: "PCI"},
		{Key: "uuid", Title: "UUID"}, {Key: "driver", Title: "driver"}, {Key: "by", Title: "granted by"},
	}
	list, err := n.Choices()
	if err != nil {
		return t, placeKind(err)
	}
	var seats []place.Seat
	for local := range cmp.Or(tasks, len(list)) {
		c := list[local%len(list)]
		seats = append(seats, place.NewSeat(local, 0, c.Info))
		t.Rows = append(t.Rows, []any{local, c.Index, c.Name, orNil(c.PCI), c.UUID, c.Driver, orNil(c.By)})
	}
	if err := place.Shared(seats); err != nil {
		return t, &Error{BadConfig, err}
	}
	return t, nil
}

// slurmTasks is how many tasks a step of this Slurm job has on this node; 0: nobody says.
func slurmTasks(env func(string) (string, bool)) int {
	text, _ := env("SLURM_TASKS_PER_NODE")
	node, _ := env("SLURM_NODEID")
	list, err := slurm.TasksPerNode(text)
	i, _ := strconv.Atoi(node)
	if err != nil || i < 0 || i >= len(list) {
		return 0
	}
	return list[i]
}

// showPlaces is saltern devices --slurm.
func showPlaces(io IO, asJSON bool) error {
	n, err := io.node()
	if err != nil {
		return err
	}
	t, err := placeTable(n, slurmTasks(n.Env))
	if len(t.Rows) == 0 {
		return err
	}
	return errors.Join(t.Write(io.Out, asJSON), err)
}
