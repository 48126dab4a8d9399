// Package agent is the core between the kernel side and telemetry.
//
// [Core] knows what is watched: it arms and disarms placements, turns each
// kernel event into an [beesting.Access] that says which token, which
// container and which process, and delivers it to a [Sink].
//
// [Agent] is a Core that plants: it runs the NRI plugin, decides with the
// policy it is given what each new container gets, keeps the planted files in
// the state directory, and finds them again after a restart.
//
// The package knows neither OpenTelemetry nor configuration files.
package agent
