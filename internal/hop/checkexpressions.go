package hop

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Istio has proxies reject an expression of more than 32768 steps, and with it all routes of those who import the object; it bounds
// the length of one, and not what \p{L}{500} comes to. Proxies match bytes, and so a character may be many steps.
const maxSteps = 16 << 10

// maxExpressions bounds, in bytes, what is read of one object: people write dozens of short ones.
const maxExpressions = 128 << 10

// CheckExpressions refuses regular expressions of a route, of either API, that proxies would reject.
func CheckExpressions(object *unstructured.Unstructured) Refusals {
	if !holdsExpression(object.Object["spec"]) {
		// Most objects have none, and none of the paths to one.
		return nil
	}
	of := expressions{left: maxExpressions}
	of.check(object.Object["spec"], field.NewPath("spec"))
	return of.out
}

// holdsExpression says whether some value is an expression.
func holdsExpression(of any) bool {
	switch of := of.(type) {
	case []any:
		return slices.ContainsFunc(of, holdsExpression)
	case map[string]any:
		for key, value := range of {
			if _, isText := value.(string); isText && isExpression(of, key) || !isText && holdsExpression(value) {
				return true
			}
		}
	}
	return false
}

// isExpression says whether a text of an object is an expression.
func isExpression(of map[string]any, key string) bool {
	return key == "regex" || key == "match" && of["rewrite"] != nil ||
		of["type"] == "RegularExpression" && slices.Contains([]string{"value", "service", "method"}, key)
}

// isAbsence says whether an expression is Istio's own sign for any value at all, which a VirtualService has of headers that calls are to
// be without.
func isAbsence(expression string, at *field.Path) bool {
	return expression == "*" && strings.Contains(at.String(), "].withoutHeaders.")
}

// expressions are those of one object, as they are looked at.
type expressions struct {
	left int
	out  Refusals
}

func (e *expressions) check(of any, path *field.Path) {
	switch of := of.(type) {
	case []any:
		for i, item := range of {
			e.check(item, path.Index(i))
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(of)) {
			at := path.Child(key)
			if expression, isText := of[key].(string); !isText {
				e.check(of[key], at)
			} else if isExpression(of, key) && !isAbsence(expression, at) {
				e.judge(expression, at)
			}
		}
	}
}

func (e *expressions) judge(expression string, at *field.Path) {
	if e.left < 0 {
		return
	}
	switch e.left -= len(expression); {
	case e.left < 0:
		e.out.add("large-expression", at, "the expressions of the object are too long together to be looked at", "spread the routes over several objects")
	case steps(expression) > maxSteps:
		e.out.add("large-expression", at, fmt.Sprintf("expression %.200q is more steps than proxies take, and every one that sees the route would reject its configuration", expression),
			"write one with fewer repetitions, or of fewer characters, such as [a-z0-9-]+")
	default:
		// \C is any byte to proxies, and nothing that Go knows.
		if _, err := syntax.Parse(strings.ReplaceAll(expression, `\C`, "."), syntax.Perl); err != nil {
			e.out.add("bad-expression", at, fmt.Sprintf("%v, and every proxy that sees the route would reject its configuration", err), "write an expression of RE2's")
		} else if name := unknownClass(expression); name != "" {
			e.out.add("bad-expression", at, fmt.Sprintf("%.200q may be no class of characters to proxies, and every one that sees the route would reject its configuration", name),
				`write a general category, such as \p{L} or \p{Nd}, or a script by its name, such as \p{Greek}`)
		}
	}
}

// classes are the names of Unicode's that RE2 knows, of any version that proxies have: the general categories, and of scripts those in wide use.
// Go knows more by now, and takes them in any case.
var classes = strings.Fields("Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs " +
	"Arabic Armenian Bengali Common Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Kannada Katakana " +
	"Khmer Lao Latin Malayalam Mongolian Myanmar Sinhala Tamil Telugu Thai Tibetan")

// class is a class of characters by its name, which stands behind what may not be read as one: an escaped character.
var class = regexp.MustCompile(`\\(?:[pP](?:\{\^?([^}]*)\}|(.))|.)`)

// unknownClass returns a class of an expression that RE2 may not know, empty for none.
func unknownClass(expression string) string {
	for _, found := range class.FindAllStringSubmatch(expression, -1) {
		if name := found[1] + found[2]; name != "" && !slices.Contains(classes, name) {
			return found[0]
		}
	}
	return ""
}

// token is a part of an expression: a class, an escape, a repetition, a bracket, or a character.
var token = regexp.MustCompile(`(?s)^(?:\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|\{[0-9]+(?:,[0-9]*)?\}|.)`)

// steps returns about how many an expression is to a proxy, rather more than fewer. It is read once, and not made.
func steps(expression string) int {
	groups, last := []int{0}, 0
	for expression != "" {
		part := token.FindString(expression)
		if part == "" { // not UTF-8, which nobody stores
			return maxSteps + 1
		}
		expression = expression[len(part):]
		inner := len(groups) - 1
		switch {
		case part == "(":
			groups = append(groups, 0)
			continue
		case part == ")" && inner > 0:
			last = groups[inner] + 2
			groups = groups[:inner]
			inner--
		case len(part) > 2 && part[0] == '{':
			last *= max(0, repetitions(part)-1)
		default:
			last = stepsOf(part)
		}
		// Larger is not looked at, and does not overflow.
		last = min(last, maxSteps+1)
		if groups[inner] = min(groups[inner]+last, maxSteps+1); groups[inner] > maxSteps {
			return maxSteps + 1
		}
	}
	out := 0
	for _, group := range groups {
		out += group
	}
	return out
}

// repetitions returns the larger number of {2}, {2,} or {2,5}.
func repetitions(part string) (out int) {
	for number := range strings.SplitSeq(strings.Trim(part, "{}"), ",") {
		count, _ := strconv.Atoi(number)
		out = max(out+1, min(count, maxSteps))
	}
	return out
}

// stepsOf returns those of a character, or of a class: what is beyond ASCII takes several bytes, and \p{L} is hundreds of ranges.
func stepsOf(part string) int {
	const wide, property = 13, 3000
	out := property * (strings.Count(part, `\p`) + strings.Count(part, `\P`))
	if part == "." || strings.HasPrefix(part, "[^") || strings.ContainsAny(part, "\\") && strings.ContainsAny(part, "WDSx") {
		out += wide
	}
	return out + 2*utf8.RuneCountInString(part) + 4*(len(part)-utf8.RuneCountInString(part))
}
