module github.com/beesting-otel/beesting

go 1.26.0
