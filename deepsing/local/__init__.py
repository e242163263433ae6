"""Starts the services as child processes of this one, for the command line, benchmarks and tests.

services       LocalServices: starts any of the four, waits until they are ready, watches them, restarts and stops them
process        ServiceProcess: one service as a child process
health         wait_until_serving: waits for a service that runs anywhere
child          what a child process runs: it ends with its parent
source         where the code of the services is, and the command that runs it
models_folder  engines that a user has fetched or made, and the settings that make services load them
failures       CommandError, the one error of this package, and the exit statuses of commands
"""
