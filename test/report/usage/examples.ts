// Documents of usage, right and wrong, each with what makes it so. xmllint is asked about the same ones.

export interface Example {
  readonly name: string
  readonly xml: string
  readonly isValid: boolean
  /** A part of what is told of a wrong one. */
  readonly says?: string
}

const resource = "<resource>CPU Consumption</resource>"
const tail = "<quantity>42.42</quantity><price>0.00</price><VAT></VAT>"
export const plain = `<movement>${resource}<title>Line 1</title><reference>x</reference>${tail}<category></category></movement>`

const consumption = (...movements: ReadonlyArray<string>): string =>
  `<?xml version="1.0"?><consumption>${movements.join("")}</consumption>`
const movement = (inner: string): string => consumption(`<movement>${inner}</movement>`)
const quantity = (text: string): string => movement(`${resource}<quantity>${text}</quantity><price>1</price><VAT/>`)

const valid = (name: string, xml: string): Example => ({ name, xml, isValid: true })
const wrong = (name: string, xml: string, says: string): Example => ({ name, xml, isValid: false, says })

export const consumptions: ReadonlyArray<Example> = [
  valid("one whole movement", consumption(plain)),
  valid("three movements", consumption(plain, plain, plain)),
  valid("the least", movement(`${resource}${tail}`)),
  valid("a title alone", movement(`${resource}<title>t</title>${tail}`)),
  valid("a reference alone", movement(`${resource}<reference>r</reference>${tail}`)),
  valid("many categories", movement(`${resource}${tail}${"<category>c</category>".repeat(20)}`)),
  valid("no declaration", `<consumption>${plain}</consumption>`),
  valid(
    "a declaration with an encoding",
    `<?xml version="1.0" encoding="UTF-8"?>\n<consumption>${plain}</consumption>\n`,
  ),
  valid("white space between elements", consumption("\n\t", plain, " \r\n ", plain, "\n")),
  valid("a byte order mark", `\uFEFF${consumption(plain)}`),
  valid("comments", consumption("<!-- a -->", plain, "<!-- b -->")),
  valid("empty texts", movement(`<resource/><title/><reference/>${tail}<category/>`)),
  valid("a text with entities and references", movement(`<resource>&lt;a&gt; &amp; &#233;&#x20AC;</resource>${tail}`)),
  valid("a text in a CDATA section", movement(`<resource><![CDATA[<a> & b]]></resource>${tail}`)),
  valid("text beyond ASCII", movement(`<resource>Prozessor-Nutzung für 東京 🖥</resource>${tail}`)),
  ...["0", "-1.5", "+1.5", "1.", ".5", "1e3", "1E-3", " 42 ", "\n7\n", "00012", "12345678901234567890", "1e+38"].map(
    (text) => valid(`the number ${JSON.stringify(text)}`, quantity(text)),
  ),
  ...[
    "",
    " ",
    "x",
    "1,5",
    "1 2",
    "0x10",
    "1e",
    "e5",
    ".",
    "--1",
    "1.2.3",
    "NaN",
    "INF",
    "-INF",
    "Infinity",
    "١",
    "1_000",
    "1f",
  ].map((text) => wrong(`the number ${JSON.stringify(text)}`, quantity(text), "movement 1: <quantity> is no number")),
  wrong("a number with an element in it", quantity("<b>1</b>"), '<quantity> holds a text, not "b"'),
  wrong("no movement", consumption(), "<consumption> lacks <movement>"),
  wrong("an empty document", "", "the document is empty"),
  wrong("another root", "<journal/>", 'the document is no <consumption>, but "journal"'),
  wrong("an empty movement", consumption("<movement/>"), "<movement> lacks <resource>"),
  wrong("no resource", movement(`<title>t</title>${tail}`), '"title" where <resource> is due in <movement>'),
  wrong("two resources", movement(`${resource}${resource}${tail}`), "<movement> has <resource> twice"),
  wrong("two titles", movement(`${resource}<title/><title/>${tail}`), "<movement> has <title> twice"),
  wrong(
    "reference before title",
    movement(`${resource}<reference/><title/>${tail}`),
    '"title" where <quantity> is due',
  ),
  wrong("no quantity", movement(`${resource}<price>1</price><VAT/>`), '"price" where <quantity> is due in <movement>'),
  wrong("no price", movement(`${resource}<quantity>1</quantity><VAT/>`), '"VAT" where <price> is due in <movement>'),
  wrong("no VAT", movement(`${resource}<quantity>1</quantity><price>1</price>`), "movement 1: <movement> lacks <VAT>"),
  wrong("vat in small letters", movement(`${resource}<quantity>1</quantity><price>1</price><vat/>`), '"vat"'),
  wrong(
    "category before VAT",
    movement(`${resource}<quantity>1</quantity><price>1</price><category/><VAT/>`),
    '"category" where <VAT> is due',
  ),
  wrong(
    "something behind the categories",
    movement(`${resource}${tail}<category/><unit/>`),
    '"unit" cannot stand here',
  ),
  wrong("a third movement that is wrong", consumption(plain, plain, "<movement/>"), "movement 3: "),
  wrong("text between elements", consumption(plain, "and"), 'text between the elements of <consumption>: "and"'),
  wrong("text in a movement", movement(`${resource}x${tail}`), 'text between the elements of <movement>: "x"'),
  wrong(
    "an attribute",
    consumption(`<movement id="1">${resource}${tail}</movement>`),
    '<movement> has no attribute "id"',
  ),
  wrong("a foreign element", consumption(plain, "<total>3</total>"), '"total" cannot stand here in <consumption>'),
  wrong("movement in movement", movement(plain), '"movement" where <resource> is due'),
  wrong("a name space", `<consumption xmlns="urn:x">${plain}</consumption>`, 'has no attribute "xmlns"'),
  wrong("two documents", consumption(plain) + consumption(plain).slice(21), "a second element"),
  wrong("a document that is cut off", consumption(plain).slice(0, -10), "malformed"),
  wrong("a missing end tag", `<consumption>${plain}`, "the document ends inside <consumption>"),
  wrong("tags that cross", movement(`<resource><title></resource></title>${tail}`), "holds a text"),
  wrong("an unknown entity", movement(`<resource>&nbsp;</resource>${tail}`), 'unknown entity "nbsp"'),
  wrong("a bare ampersand", movement(`<resource>a & b</resource>${tail}`), "an & that starts no entity"),
  wrong(
    "a character that XML lacks",
    movement(`<resource>\u0001</resource>${tail}`),
    "a character that XML does not allow",
  ),
]

/** Right by the schema, and refused all the same: what expands or fetches has no place in a report. */
export const refused: ReadonlyArray<Example> = [
  wrong("a document type", `<!DOCTYPE consumption><consumption>${plain}</consumption>`, "document types"),
  wrong(
    "an entity of its own",
    `<!DOCTYPE consumption [<!ENTITY a "b">]><consumption>${plain.replace("Line 1", "&a;")}</consumption>`,
    "document types",
  ),
  wrong("a processing instruction", consumption(plain, "<?php x ?>"), "a processing instruction"),
]

const arrow = '<arrow type="Administration"><source></source><destination></destination></arrow>'
const head =
  "<title>t</title><start_date></start_date><stop_date>2026-11-22 at 08:55:15</stop_date><reference>COMP-1</reference><currency></currency><payment_mode></payment_mode>"
const transaction = (inner: string, attributes = ' type="Sale Packing List"'): string =>
  `<transaction${attributes}>${inner}</transaction>`
const journal = (...transactions: ReadonlyArray<string>): string => `<journal>${transactions.join("")}</journal>`
const whole = transaction(`${head}<category></category>${arrow}${plain}`)

export const journals: ReadonlyArray<Example> = [
  valid("one whole transaction", journal(whole)),
  valid("two transactions", journal(whole, "\n", whole)),
  valid("no title and no category", journal(transaction(`${head.replace("<title>t</title>", "")}${arrow}${plain}`))),
  valid(
    "many categories, arrows and movements",
    journal(transaction(`${head}<category/><category/>${arrow}${arrow}${plain}${plain}`)),
  ),
  valid("an arrow without ends", journal(transaction(`${head}<arrow type=""/>${plain}`))),
  valid(
    "an arrow with a destination",
    journal(transaction(`${head}<arrow type='a'><destination>d</destination></arrow>${plain}`)),
  ),
  wrong("no transaction", journal(), "<journal> lacks <transaction>"),
  wrong("a consumption", consumption(plain), 'the document is no <journal>, but "consumption"'),
  wrong(
    "a transaction without type",
    journal(transaction(`${head}${arrow}${plain}`, "")),
    '<transaction> needs its attribute "type"',
  ),
  wrong(
    "a transaction with more",
    journal(transaction(`${head}${arrow}${plain}`, ' type="a" id="1"')),
    'no attribute "id"',
  ),
  wrong("a type twice", journal(transaction(`${head}${arrow}${plain}`, ' type="a" type="b"')), "twice"),
  wrong("an arrow without type", journal(transaction(`${head}<arrow/>${plain}`)), '<arrow> needs its attribute "type"'),
  wrong(
    "ends of an arrow in the wrong order",
    journal(transaction(`${head}<arrow type="a"><destination/><source/></arrow>${plain}`)),
    '"source" cannot stand here in <arrow>',
  ),
  wrong("no arrow", journal(transaction(`${head}${plain}`)), '"movement" where <arrow> is due in <transaction>'),
  wrong("no movement", journal(transaction(`${head}${arrow}`)), "<transaction> lacks <movement>"),
  wrong(
    "no stop date",
    journal(transaction(`${head.replace(/<stop_date>.*<\/stop_date>/, "")}${arrow}${plain}`)),
    '"reference" where <stop_date> is due',
  ),
  wrong("movement before arrow", journal(transaction(`${head}${plain}${arrow}`)), '"movement" where <arrow> is due'),
  wrong("a movement beside a transaction", journal(whole, plain), '"movement" cannot stand here in <journal>'),
  wrong(
    "a wrong movement in the second transaction",
    journal(whole, transaction(`${head}${arrow}<movement/>`)),
    "movement 2: ",
  ),
]
