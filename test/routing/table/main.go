// Command table writes docs/routing.md: a line for each routing case of a folder.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/test/proof"
)

//go:embed head.md
var head string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table FOLDER")
		os.Exit(2)
	}
	all, err := proof.Load(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(table(all))
}

func table(all []*proof.Case) string {
	hostile, packets := 0, 0
	for _, each := range all {
		if each.Hostile {
			hostile++
		}
		if each.Packets {
			packets++
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, head, len(all), hostile, packets)
	family := ""
	for _, each := range all {
		if each.Family != family {
			family = each.Family
			fmt.Fprintf(&out, "\n## %s\n\n| case | by | what it shows | what becomes of it |\n|---|---|---|---|\n", family)
		}
		title := each.Title
		if each.Hostile {
			title = "**Hostile.** " + title
		}
		if each.Packets {
			title += " *(with packets)*"
		}
		fmt.Fprintf(&out, "| [%s](../test/routing/cases/%s/%s) | %s | %s | %s |\n", each.Name, each.Family, each.Name, by(each), title, strings.Join(slices.Concat(refused(each), warned(each), calls(each)), "; "))
	}
	return out.String()
}

func by(of *proof.Case) string {
	if by := of.By(); by[0] != "" {
		return strings.Join(by, ", ")
	}
	return "its own gateways"
}

func refused(of *proof.Case) (out []string) {
	for _, each := range of.Refused {
		out = append(out, fmt.Sprintf("%s is refused: `%s`%s", each.Object, each.Code, only(each.Transports)))
	}
	return out
}

func warned(of *proof.Case) (out []string) {
	for _, each := range of.Warned {
		out = append(out, fmt.Sprintf("%s is stored, and its author told: %s%s", each.Object, each.Says, only(each.Transports)))
	}
	return out
}

// calls has those of one caller and one end in one phrase.
func calls(of *proof.Case) (out []string) {
	type phrase struct{ from, end string }
	phrases := map[phrase][]string{}
	var order []phrase
	for _, call := range of.Calls {
		from := call.From
		if call.Dials != "" {
			from += " past its sidecar"
		}
		if call.Ingress != nil {
			from += " by its ingress gateway"
		}
		key := phrase{from, ending(call) + only(call.Transports)}
		if phrases[key] == nil {
			order = append(order, key)
		}
		phrases[key] = append(phrases[key], "`"+call.To+"`")
	}
	for _, key := range order {
		out = append(out, fmt.Sprintf("from %s %s: %s", key.from, strings.Join(phrases[key], ", "), key.end))
	}
	return out
}

func ending(call proof.Call) string {
	switch call.Ends {
	case proof.AtGateway:
		out := "through the gateway"
		if len(call.Exit) > 0 {
			out += " to " + strings.Join(call.Exit, " and ")
		}
		if call.Encrypted {
			out += ", which encrypts it"
		}
		return out
	case proof.Blocked:
		return "nowhere"
	case proof.InMesh:
		return "stays in the mesh"
	}
	return "straight out"
}

func only(transports []string) string {
	if len(transports) == 0 {
		return ""
	}
	return " (by " + strings.Join(transports, ", ") + ")"
}
