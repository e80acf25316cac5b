module github.com/egress-governor/egress-governor/tools/lint

go 1.26.0
