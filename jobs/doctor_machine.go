package jobs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"saltern/compute"
	"saltern/compute/vk"
)

// machine is what doctor examines before any kernel.
type machine struct {
	list    []vk.Info
	listErr error // no list
	device  *compute.Device
	openErr error // no device
	hints   []string
}

func newMachine(io IO, selector string) *machine {
	m := &machine{hints: hints(os.DirFS("/"))}
	if m.list, m.listErr = compute.Devices(io.validation()); m.listErr == nil {
		if selector, m.openErr = io.pickAlone(selector); m.openErr == nil {
			m.device, m.openErr = compute.Open(selector, io.validation())
		}
	}
	return m
}

// names are those of all devices, in the loader's order.
func (m *machine) names() string {
	var list []string
	for _, i := range m.list {
		list = append(list, i.Name)
	}
	return strings.Join(list, "; ")
}

// symptom is one thing that a machine may have wrong. examine returns what there is to say and the error, if it is one.
type symptom struct {
	code, title string
	dependsOn   []string // codes; when one of them is not well, nothing is said of this
	warning     bool     // jobs run all the same
	remedy      string
	examine     func(m *machine) (detail string, err error)
}

// symptoms is the table, each after those that it depends on.
func symptoms() []symptom {
	return []symptom{
		{code: "loader", title: "the Vulkan loader is installed",
			remedy: "install it (Debian: apt-get install libvulkan1 mesa-vulkan-drivers)",
			examine: func(m *machine) (string, error) {
				if errors.Is(m.listErr, vk.ErrNoLoader) {
					return "", m.listErr
				}
				return "libvulkan.so.1", nil
			}},
		{code: "driver", title: "a Vulkan driver is installed", dependsOn: []string{"loader"},
			remedy:  "install your GPU's Vulkan driver, or mesa-vulkan-drivers for the CPU",
			examine: func(m *machine) (string, error) { return "devices: " + m.names(), m.listErr }},
		{code: "device", title: "a device can be used", dependsOn: []string{"driver"},
			remedy: "see what each device lacks: saltern devices; a newer driver may have it",
			examine: func(m *machine) (string, error) {
				if m.openErr != nil {
					return "", m.openErr
				}
				i := m.device.Info()
				return fmt.Sprintf("%s (%s), Vulkan %s, %s", i.Name, i.Type, i.API, i.Driver), nil
			}},
		{code: "gpu", title: "no GPU is hidden", dependsOn: []string{"device"}, warning: true,
			remedy: "the device is not affected; to use the GPU, do that",
			examine: func(m *machine) (string, error) {
				if len(m.hints) > 0 {
					return "", errors.New(strings.Join(m.hints, "; "))
				}
				return m.device.Info().Type.String(), nil
			}},
		{code: "memory", title: "memory holds what is written", dependsOn: []string{"device"},
			remedy:  "end what else uses the device; else try another version of the driver",
			examine: examineMemory},
		{code: "subgroup", title: "subgroups have 8 lanes or more", dependsOn: []string{"device"}, warning: true,
			remedy: "nothing: the kernels that need them are left out, which costs speed",
			examine: func(m *machine) (string, error) {
				i := m.device.Info()
				if i.Subgroup < 8 {
					return "", fmt.Errorf("they have %d", i.Subgroup)
				}
				return subgroups(i) + " lanes", nil
			}},
		{code: "timestamps", title: "the device can time kernels", dependsOn: []string{"device"}, warning: true,
			remedy: "nothing: only profiles need it",
			examine: func(m *machine) (string, error) {
				if !m.device.Info().Timestamps {
					return "", errors.New("it cannot")
				}
				return "yes", nil
			}},
	}
}

// finding is a symptom looked at.
type finding struct {
	symptom
	result string // "ok", "warning", "failed", or "skipped", as it depends on one that is not ok
	detail string
}

// examine goes through the symptoms. The error is that of the first that failed.
func (m *machine) examine() ([]finding, error) {
	var found []finding
	var unwell []string
	var first error
	for _, s := range symptoms() {
		f := finding{s, "ok", ""}
		if slices.ContainsFunc(s.dependsOn, func(code string) bool { return slices.Contains(unwell, code) }) {
			f.result, unwell = "skipped", append(unwell, s.code)
			found = append(found, f)
			continue
		}
		detail, err := s.examine(m)
		f.detail = detail
		switch {
		case err != nil && s.warning:
			f.result, f.detail = "warning", err.Error()
		case err != nil:
			f.result, f.detail, unwell = "failed", err.Error(), append(unwell, s.code)
			if first == nil {
				first = withHints(err)
			}
		}
		found = append(found, f)
	}
	return found, first
}

// examineMemory writes 16 MiB to the device and reads them back.
func examineMemory(m *machine) (string, error) {
	const n = 4 << 20
	t := compute.NewTensor(compute.State, "doctor", compute.F32, n)
	defer m.device.Free(t.Storage)
	wrote, read := make([]float32, n), make([]float32, n)
	for i := range wrote {
		wrote[i] = float32(i)
	}
	if err := m.device.Write(t, wrote); err != nil {
		return "", err
	}
	if err := m.device.Read(t, read); err != nil {
		return "", err
	}
	for i := range read {
		if read[i] != wrote[i] {
			return "", fmt.Errorf("word %d was written as %g and is read as %g", i, wrote[i], read[i])
		}
	}
	return "16 MiB written and read back, of " + compute.Bytes(m.device.Info().Memory), nil
}

// findingTable is the findings for people; a remedy is shown where there is something to remedy.
func findingTable(found []finding) Table {
	t := Table{Columns: []Column{{Key: "check", Title: "check"}, {Key: "result", Title: "result"}, {Key: "detail", Title: "detail"}}}
	for _, f := range found {
		t.Rows = append(t.Rows, []any{f.title, f.result, f.says()})
	}
	return t
}

// says is the detail, and the remedy where one is needed.
func (f finding) says() string {
	switch f.result {
	case "skipped":
		return "needs: " + strings.Join(f.dependsOn, ", ")
	case "ok":
		return f.detail
	}
	detail := strings.ReplaceAll(f.detail, "\n", "; ")
	if strings.Contains(detail, f.remedy) { // some errors bring it
		return detail
	}
	return detail + "; " + f.remedy
}

// doctorTable is everything for programs: findings, operations, and the checks that failed.
func doctorTable(found []finding, results []opResult) Table {
	t := Table{Columns: []Column{
		{Key: "kind"}, {Key: "name"}, {Key: "result"}, {Key: "detail"}, {Key: "remedy"}, {Key: "variants"}, {Key: "left_out"}, {Key: "cases"}, {Key: "checks"}, {Key: "failed"},
	}}
	for _, f := range found {
		var remedy any
		if f.result == "failed" || f.result == "warning" {
			remedy = f.remedy
		}
		t.Rows = append(t.Rows, []any{"machine", f.code, f.result, orNil(f.detail), remedy, nil, nil, nil, nil, nil})
	}
	for _, r := range results {
		t.Rows = append(t.Rows, []any{"operation", r.op, r.verdict(), nil, nil, r.variants, r.leftOut, r.cases, r.checks, len(r.failures)})
		for _, f := range r.failures {
			t.Rows = append(t.Rows, []any{"check", f.check, "failed", f.err.Error(), nil, nil, nil, nil, nil, nil})
		}
	}
	return t
}
