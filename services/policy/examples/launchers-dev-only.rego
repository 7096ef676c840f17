# Launchers may use environment=dev only; tenant administrators may do all their roles permit.
package runwarden.authz

default allow := false

allow if "tenant-admin" in input.principal.roles

allow if {
	"launcher" in input.principal.roles
	input.parameters.environment == "dev"
}

reasons contains sprintf("launchers may use environment=dev only, not environment=%v", [environment]) if {
	"launcher" in input.principal.roles
	environment := input.parameters.environment
	environment != "dev"
}

reasons contains "launchers must say environment=dev" if {
	"launcher" in input.principal.roles
	not "environment" in object.keys(input.parameters)
}
