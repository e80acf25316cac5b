package discover

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// WriteDrafts writes drafts as manifests, with what was found of them in comments. Nothing of a log stands in them but names of hosts
// and pods that are such, addresses and numbers.
func WriteDrafts(w io.Writer, drafts []*Draft) error {
	var out strings.Builder
	comment(&out, "Drafts of egressctl discover. A log says what apps called, and not what they may: read before you apply.")
	written := 0
	for _, draft := range drafts {
		if err := draft.write(&out, &written); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (d *Draft) write(out *strings.Builder, written *int) error {
	for _, wildcard := range d.Wildcards {
		comment(out, fmt.Sprintf("Namespace %s calls %d hosts of %s: one entry of it might stand for them, and for every other below.", d.Namespace, wildcard.Hosts, wildcard.Host))
	}
	for _, found := range d.Addresses {
		comment(out, fmt.Sprintf("Namespace %s calls %s, by no name: no entry is drafted%s.", d.Namespace, found.Target, by(found.Workloads)))
	}
	if ports := d.unasked(); len(ports) > 0 {
		comment(out, fmt.Sprintf("Sidecars look for names of TLS and HTTP on ports alone that an entry or a Service in their sight has. Once namespace %s sees an entry with port %s, "+
			"names stand in the log: discover again.", d.Namespace, strings.Join(ports, ", ")))
	}
	for _, refusal := range d.Refused {
		comment(out, fmt.Sprintf("No entry of %s in namespace %s: %s", refusal.Host, d.Namespace, strings.Join(refusal.Reasons, " ")))
	}
	for _, entry := range d.Entries {
		separate(out, written)
		for _, found := range entry.Found {
			comment(out, fmt.Sprintf("%s: %s, %s%s", found.Target, count(found.Calls, "call"), found.State, by(found.Workloads)))
		}
		if err := one(out, entry.Object); err != nil {
			return err
		}
	}
	if d.Policy == nil {
		return nil
	}
	separate(out, written)
	return one(out, d.Policy)
}

// unasked returns the usual ports of TLS and HTTP on which a sidecar saw bytes and no more.
func (d *Draft) unasked() (out []string) {
	for _, port := range []struct {
		number   uint16
		protocol string
	}{{80, "HTTP"}, {443, "TLS"}} {
		if slices.ContainsFunc(d.Addresses, func(found Found) bool { return found.Port == port.number && found.Protocol == "TCP" }) {
			out = append(out, fmt.Sprintf("%d as %s", port.number, port.protocol))
		}
	}
	return out
}

func one(out *strings.Builder, object *unstructured.Unstructured) error {
	raw, err := yaml.Marshal(object.Object)
	out.Write(raw)
	return err
}

func separate(out *strings.Builder, written *int) {
	if *written++; *written > 1 {
		out.WriteString("---\n")
	}
}

// comment writes a line that no reader of YAML looks at, whatever it says.
func comment(out *strings.Builder, text string) {
	out.WriteString("# ")
	for _, letter := range text {
		if letter != ' ' && (unicode.IsSpace(letter) || !unicode.IsPrint(letter)) {
			letter = ' '
		}
		out.WriteRune(letter)
	}
	out.WriteString("\n")
}

// String is a target as people write one.
func (t Target) String() string {
	host := t.Host
	if host == "" {
		host = t.Address.String()
		if t.Address.Is6() {
			host = "[" + host + "]"
		}
	}
	return host + ":" + strconv.Itoa(int(t.Port)) + " " + t.Protocol
}

func by(workloads []string) string {
	if len(workloads) == 0 {
		return ""
	}
	of := slices.Clone(workloads)
	if len(of) == maxWorkloads {
		of = append(of, "perhaps others")
	}
	return ", by " + strings.Join(of, ", ")
}

func count(of int, what string) string {
	if of != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", of, what)
}
