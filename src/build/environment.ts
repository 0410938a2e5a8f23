// The environment of buildouts and of the scripts around them. node-behaviour.md (Environment of every buildout); the
// agent's own variables are left out but for the few that reach the network and the tools.

/** `inherited` is what the agent passes on; `home` its directory for buildout itself, else the user's home. */
export const buildEnvironment = (
  inherited: Readonly<Record<string, string>>,
  home: string,
  instanceRoot?: string,
): Readonly<Record<string, string>> => ({
  ...inherited,
  HOME: home,
  PYTHONNOUSERSITE: "true",
  ...(instanceRoot === undefined ? {} : { SLAPGRID_INSTANCE_ROOT: instanceRoot }),
})

/** umask of every buildout. */
export const buildUmask = 0o027
