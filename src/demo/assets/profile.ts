// The demo's software release as a buildout profile, and the template from which its instances are made. The release's
// recipe fills in the template's `%(name)s`; what is `${section:option}` there is buildout's own.

/** `software.cfg`. buildout takes relative `develop` paths from its own directory, hence the absolute one. */
export const softwareProfile = (directory: string): string => `[buildout]
parts = release
develop = ${directory}/recipe
# Everything comes from this machine.
offline = true

[release]
recipe = slapgrid-demo:release
template = ${directory}/instance.cfg.in
server = ${directory}/http-server.py
`

/** `instance.cfg.in`: an instance takes its eggs from the release and installs none of its own. */
export const instanceTemplate = `[buildout]
parts = http
eggs-directory = %(eggs-directory)s
develop-eggs-directory = %(develop-eggs-directory)s
offline = true

[http]
recipe = slapgrid-demo:instance
python = %(python)s
server = %(server)s
wrapper = \${buildout:directory}/etc/service/http
port-file = \${buildout:directory}/.http-port
`
