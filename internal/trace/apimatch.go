package trace

import "slices"

// conditioned returns the blocks of what Istio makes of a rule of the Gateway API, by one of its matches each.
func conditioned(blocks [][]fields, kind string, matches []fields) (out [][]fields) {
	if len(matches) == 0 {
		return blocks
	}
	for _, match := range matches {
		block := httpMatch(match)
		if kind == "GRPCRoute" {
			block = grpcMatch(match)
		}
		for _, of := range blocks {
			out = append(out, append(slices.Clone(of), block))
		}
	}
	return out
}

// valued is a match of the Gateway API as a StringMatch of Istio's.
func valued(of fields, otherwise string) fields {
	kind := map[string]string{"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}[textOf(of, "type")]
	if kind == "" {
		kind = otherwise
	}
	return fields{kind: textOf(of, "value")}
}

func httpMatch(of fields) fields {
	out := fields{}
	if path := fieldsOf(of, "path"); path != nil {
		if uri := valued(path, "prefix"); textOf(uri, "prefix") != "/" {
			out["uri"] = uri
		}
	}
	for from, to := range map[string]string{"headers": "headers", "queryParams": "queryParams"} {
		named := fields{}
		for _, one := range listOf(of, from) {
			named[textOf(one, "name")] = valued(one, "exact")
		}
		if len(named) > 0 {
			out[to] = named
		}
	}
	if method := textOf(of, "method"); method != "" {
		out["method"] = fields{"exact": method}
	}
	return out
}

func grpcMatch(of fields) fields {
	out := httpMatch(fields{"headers": of["headers"]})
	service, method := textOf(of, "method", "service"), textOf(of, "method", "method")
	switch {
	case service != "" && method != "":
		out["uri"] = fields{"exact": "/" + service + "/" + method}
	case service != "":
		out["uri"] = fields{"prefix": "/" + service + "/"}
	case method != "":
		out["uri"] = fields{"regex": "/[^/]+/" + method}
	}
	return out
}
