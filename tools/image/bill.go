package main

import (
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBill writes a bill into a file.
func (r release) writeBill(file, program string) error {
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(r.bill(to, program), to.Close())
}

// bill tells what a program is made of, as Go wrote it into the program itself.
func (r release) bill(to io.Writer, program string) error {
	of, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	own := component(cdx.ComponentTypeApplication, of.Main.Path, r.version)
	own.Name = path.Base(of.Path)
	own.PackageURL += "#" + strings.TrimPrefix(of.Path, of.Main.Path+"/")
	own.BOMRef = own.PackageURL
	components := []cdx.Component{component(cdx.ComponentTypeLibrary, "std", strings.TrimPrefix(of.GoVersion, "go"))}
	for _, module := range of.Deps {
		for module.Replace != nil {
			module = module.Replace
		}
		components = append(components, component(cdx.ComponentTypeLibrary, module.Path, module.Version))
	}
	parts := make([]string, 0, len(components))
	for _, part := range components {
		parts = append(parts, part.BOMRef)
	}
	out := cdx.NewBOM()
	out.Metadata = &cdx.Metadata{Timestamp: r.made.Format(time.RFC3339), Component: &own}
	out.Components, out.Dependencies = &components, &[]cdx.Dependency{{Ref: own.BOMRef, Dependencies: &parts}}
	return cdx.NewBOMEncoder(to, cdx.BOMFileFormatJSON).SetPretty(true).Encode(out)
}

func component(of cdx.ComponentType, module, version string) cdx.Component {
	url := "pkg:golang/" + module + "@" + version
	return cdx.Component{BOMRef: url, Type: of, Name: module, Version: version, PackageURL: url}
}
