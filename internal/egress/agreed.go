package egress

import "slices"

// agreed returns the rule by which the gateway calls the host: that of the oldest entry's namespace as far as the rules of all others
// agree with it, since one namespace's settings must not hurt the calls of another; nil where nothing is left.
func (e *Exit) agreed(of []Member) *Rule {
	out := of[0].rule
	asked := map[*Rule]bool{out: true}
	for _, member := range of {
		if asked[member.rule] || member.Observed && !of[0].Observed {
			continue
		}
		asked[member.rule] = true
		out = e.among(out, member.rule)
	}
	return out
}

// among returns what of a rule beyond encryption, which the exit's definition has, another agrees with; the rule itself where that is all.
func (e *Exit) among(rule, other *Rule) *Rule {
	if e.agrees(rule, other) {
		return rule
	}
	var levels []any
	for _, port := range e.Definition.Ports {
		here, there := rule.Beyond(port.Number), other.Beyond(port.Number)
		for key, value := range here {
			if !SameValue(value, there[key]) {
				delete(here, key)
			}
		}
		if len(here) > 0 {
			here["port"] = map[string]any{"number": int64(port.Number)}
			levels = append(levels, here)
		}
	}
	if len(levels) == 0 {
		return nil
	}
	return &Rule{Namespace: rule.Namespace, Name: rule.Name, Host: rule.Host, Policy: map[string]any{"portLevelSettings": levels}}
}

// agrees says whether a rule has all settings of another beyond encryption, and the same.
func (e *Exit) agrees(rule, other *Rule) bool {
	if rule == nil || rule == other {
		return true
	}
	for _, port := range e.Definition.Ports {
		there := other.Beyond(port.Number)
		for key, value := range rule.Beyond(port.Number) {
			if !SameValue(value, there[key]) {
				return false
			}
		}
	}
	return true
}

// AgreedSettings are those by which a gateway calls a host as far as all with part in its exit agree.
func AgreedSettings() []string { return []string{"connectionPool", "loadBalancer", "outlierDetection"} }

// ReplacedSettings are those of them that sidecars do not have of a rule, either.
func ReplacedSettings() []string { return AgreedSettings()[1:] }

// Chosen returns a setting of a rule for a port, nil for none: which endpoint of a host is next is nothing that anybody misses.
func (r *Rule) Chosen(port uint32, key string) any {
	value, _ := r.Beyond(port)[key].(map[string]any)
	if value == nil || key == "loadBalancer" && value["consistentHash"] == nil && value["localityLbSetting"] == nil {
		return nil
	}
	return value
}

// LeftOut returns the settings of a member's rule that the gateway does not call the host by at some of its ports. It asks what all agree
// on, and not with whom there is none: there may be thousands.
func (e *Exit) LeftOut(rule *Rule, ports []Port) (out []string) {
	if e == nil || rule == nil {
		return nil
	}
	for _, key := range AgreedSettings() {
		if slices.ContainsFunc(ports, func(port Port) bool {
			value := rule.Chosen(port.Number, key)
			return value != nil && !SameValue(value, e.Rule.Chosen(port.Number, key))
		}) {
			out = append(out, key)
		}
	}
	return out
}

// HasPart says whether some entry of a namespace has part in the exit.
func (e *Exit) HasPart(namespace string) bool {
	return e != nil && slices.ContainsFunc(e.Members, func(member Member) bool { return member.Namespace == namespace })
}

// Disagrees returns the first namespace beside one that has part in the exit, and whose rule does not have a setting of a port as it
// is here; empty for none, as of a nil exit.
func (e *Exit) Disagrees(namespace string, port uint32, key string, value any) string {
	if e == nil {
		return ""
	}
	for _, member := range e.Members {
		if member.Namespace != namespace && !member.Observed && !SameValue(value, member.rule.Beyond(port)[key]) {
			return member.Namespace
		}
	}
	return ""
}
