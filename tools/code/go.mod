module github.com/egress-governor/egress-governor/tools/code

go 1.26.0
