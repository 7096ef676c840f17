# What both systems ask before they accept a job.
package runwarden.authz

default allow := false

allow if input.parameters.n >= 0
