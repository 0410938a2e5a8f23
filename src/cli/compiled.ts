// What V8 has compiled of the program is kept for its next start: src/starter.ts.

/** The starter's, around the built program; the sources run without. */
declare const keepCompiled: (() => void) | undefined

/** Has to come under the flags that the program was started with: V8 takes no code that was compiled under others. */
export const keepForNextStart = (): void => {
  if (typeof keepCompiled === "function") keepCompiled()
}
