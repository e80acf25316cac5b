package hop

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxAccounts bounds what one entry adds to the configuration of a gateway.
const maxAccounts = 100

// AccountsAnnotation narrows, on a ServiceEntry, who of its clients may call: service accounts, separated by commas, of
// the entry's namespace, or of another as namespace/name.
const AccountsAnnotation = "egress-governor.io/service-accounts"

// Accounts reads AccountsAnnotation: service accounts by namespace, nil without it.
func Accounts(entry metav1.Object) (out map[string][]string, refusals Refusals) {
	raw, given := entry.GetAnnotations()[AccountsAnnotation]
	if !given {
		return nil, nil
	}
	out = map[string][]string{}
	if strings.Count(raw, ",") >= maxAccounts {
		refusals.add("service-accounts", field.NewPath("metadata", "annotations").Key(AccountsAnnotation),
			fmt.Sprintf("names more than %d service accounts", maxAccounts), "leave the annotation out, which admits all service accounts of the entry's clients, or spread them over several entries")
		return out, refusals
	}
	for item := range strings.SplitSeq(raw, ",") {
		namespace, name, other := strings.Cut(strings.TrimSpace(item), "/")
		if !other {
			namespace, name = entry.GetNamespace(), namespace
		}
		if len(validation.IsDNS1123Subdomain(name)) > 0 || len(validation.IsDNS1123Label(namespace)) > 0 {
			refusals.add("service-accounts", field.NewPath("metadata", "annotations").Key(AccountsAnnotation),
				fmt.Sprintf("%q is not the name of a service account", item), "write names separated by commas, of another namespace as namespace/name")
			continue
		}
		if !slices.Contains(out[namespace], name) {
			out[namespace] = append(out[namespace], name)
		}
	}
	for namespace := range out {
		slices.Sort(out[namespace])
	}
	return out, refusals
}
