// The XML-RPC of supervisord: answers as it writes them, and as it never should.
import { describe, expect, it } from "vitest"
import * as Result from "effect/Result"
import { decodeResponse, encodeCall, RpcFault } from "../../../src/process/takeover/xmlrpc.ts"

const answer = (value: string): string =>
  `<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>${value}</value>\n</param>\n</params>\n</methodResponse>\n`

describe("encodeCall", () => {
  it("writes strings and booleans, escaped", () => {
    expect(encodeCall("supervisor.stopProcessGroup", ["a<b>&c", false])).toBe(
      '<?xml version="1.0"?><methodCall><methodName>supervisor.stopProcessGroup</methodName><params>' +
        "<param><value><string>a&lt;b&gt;&amp;c</string></value></param>" +
        "<param><value><boolean>0</boolean></value></param></params></methodCall>",
    )
  })
})

describe("decodeResponse", () => {
  it.each([
    ["an integer", "<int>42</int>", 42],
    ["a negative one of the other name", "<i4>-1</i4>", -1],
    ["truth", "<boolean>1</boolean>", true],
    ["untruth", "<boolean>0</boolean>", false],
    ["a string", "<string>one &lt;two&gt; &amp; &#116;hree &#x66;</string>", "one <two> & three f"],
    ["white space", "<string>  \n</string>", "  \n"],
    ["an empty string", "<string></string>", ""],
    ["a shorter empty string", "<string/>", ""],
    ["a string without its type", "plain", "plain"],
    ["nothing at all", "", ""],
    ["an empty array", "<array><data>\n</data></array>", []],
    [
      "a list of structs",
      `<array><data>
<value><struct>
<member>
<name>name</name>
<value><string>web-on-watch</string></value>
</member>
<member>
<name>pid</name>
<value><int>0</int></value>
</member>
</struct></value>
<value><struct></struct></value>
</data></array>`,
      [{ name: "web-on-watch", pid: 0 }, {}],
    ],
  ])("reads %s", (_, value, expected) => {
    expect(Result.getOrThrow(decodeResponse(answer(value)))).toStrictEqual(expected)
  })

  it("reads a fault", () => {
    const source = `<?xml version='1.0'?><methodResponse><fault><value><struct>
<member><name>faultCode</name><value><int>10</int></value></member>
<member><name>faultString</name><value><string>BAD_NAME: x</string></value></member>
</struct></value></fault></methodResponse>`
    expect(Result.flip(decodeResponse(source))).toStrictEqual(
      Result.succeed(new RpcFault({ code: 10, message: "BAD_NAME: x" })),
    )
  })

  it.each([
    ["nothing", ""],
    ["another document", "<html><body>It works</body></html>"],
    ["half an answer", answer("<int>4</int>").slice(0, 90)],
    ["a number that is none", answer("<int>4x</int>")],
    ["a type that is not used", answer("<double>1.5</double>")],
    ["an entity that is none", answer("<string>&bomb;</string>")],
    ["a document type", "<!DOCTYPE a><methodResponse/>"],
    ["a struct that does not end", answer("<struct><member><name>a</name></struct>")],
  ])("tells of %s", (_, source) => {
    const fault = Result.getOrThrow(Result.flip(decodeResponse(source)))
    expect(fault.code).toBeUndefined()
    expect(fault.message).toContain("no answer in XML-RPC: ")
  })
})
