module saltern

go 1.25.0
