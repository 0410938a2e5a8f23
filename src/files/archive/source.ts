// Where a worker thread finds its program: beside this file. The bundled program has it in it as text (scripts/build.ts).

export const workerProgram: { readonly text: string } | { readonly url: URL } = {
  url: new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url),
}
