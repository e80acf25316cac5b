package argocd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// shown reads the block of docs/recipes.md below the line that names its file.
func shown(file string, into any) error {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "recipes.md"))
	if err != nil {
		return err
	}
	_, after, found := strings.Cut(string(raw), "\n`"+file+"`:\n\n")
	block := regexp.MustCompile(`\A(?:    .*\n|\n)+`).FindString(after)
	if !found || block == "" {
		return fmt.Errorf("docs/recipes.md has no %s", file)
	}
	return yaml.UnmarshalStrict([]byte(strings.ReplaceAll("\n"+block, "\n    ", "\n")), into)
}

// split reads the objects of a YAML stream.
func split(raw []byte) ([]*unstructured.Unstructured, error) {
	return kube.SplitYAML(raw)
}
