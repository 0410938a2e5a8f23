// What a test expects of a Redacted value: to `toStrictEqual` two of them are equal, whatever they hold.
import * as Redacted from "effect/Redacted"
import { expect } from "vitest"

export const secret = (text: string): unknown =>
  expect.toSatisfy((value: unknown) => Redacted.isRedacted(value) && Redacted.value(value) === text)
