// The captured exchanges of the reference node and slapproxy, and the hand-made document with what ERP5 adds.
import { readFileSync } from "node:fs"
import * as Schema from "effect/Schema"

const Exchange = Schema.Struct({
  method: Schema.String,
  path: Schema.String,
  query: Schema.Record(Schema.String, Schema.String),
  form: Schema.NullOr(Schema.Record(Schema.String, Schema.String)),
  status: Schema.Int,
  response: Schema.String,
})
export type Exchange = typeof Exchange.Type

const read = (name: string): string => readFileSync(new URL(`vectors/${name}`, import.meta.url), "utf8")

export const exchanges: ReadonlyArray<Exchange> = Schema.decodeUnknownSync(Schema.Array(Exchange))(
  JSON.parse(read("exchanges.json")),
)

export const computerAsErp5: string = read("computer-as-erp5.xml")

/** Every marshalled document in the exchanges, forms' fields and answers, with where it stands. */
export const documents: ReadonlyArray<{ readonly where: string; readonly xml: string }> = exchanges.flatMap(
  ({ form, path, response }, index) =>
    [...Object.entries(form ?? {}), ["answer", response] as const]
      .filter(([, text]) => text.startsWith("<marshal"))
      .map(([name, xml]) => ({ where: `${index} ${path} ${name}`, xml })),
)
