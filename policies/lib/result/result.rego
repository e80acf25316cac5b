# METADATA
# title: Result
# description: What a rule says, taken from the rule's own METADATA.
package policies.lib.result

# METADATA
# title: Of
# description: |
#   The result of a rule whose METADATA is given as rego.metadata.rule(): its code is the title in kebab case, msg and
#   fix are the sprintf templates custom.msg and custom.fix with the values for each. A template that is missing leaves
#   its text empty and the result standing: a result without msg fails its policy, and one without fix gets the package's.
of(metadata, field, for_msg, for_fix) := {
	"code": trim(regex.replace(lower(object.get(metadata, "title", "")), `[^a-z0-9]+`, "-"), "-"),
	"field": field,
	"msg": _text(metadata, "msg", for_msg),
	"fix": _text(metadata, "fix", for_fix),
}

_text(metadata, key, values) := sprintf(metadata.custom[key], values)

_text(metadata, key, _) := "" if not metadata.custom[key]
