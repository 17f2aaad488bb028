import {
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type Document as YAML,
  type YAMLMap,
} from 'yaml'
import { asKubectlReads } from './manifest-yaml.ts'
import type { Source, Unreadable } from './sources.ts'

/** One of the documents of a source. */
export type Document = {
  source: Source
  text: string
  /** The line of the source in which its text begins, from 1. */
  line: number
}

/** Where something stands in a source, from 1. */
export type Position = { line: number; column: number }

/** More than the API server takes of one object (apiserver pkg/server/config.go, MaxRequestBodyBytes: 3 MiB). */
const maxLength = 3 * 1024 * 1024

/** A List is sent item by item; but what is read of it takes fifty times its length of memory. */
const maxListLength = 20 * 1024 * 1024

/** Begins a line of what `kubectl get` prints, as YAML or JSON, where that is a List. */
const listKind = /^(kind: | {4}"kind": ")\w*List\b/m

/** More aliases, counted through those of those, than a person writes into a document. */
const maxAliasCount = 1_000

/** How many keys may come of merges, were each alias one of all the keys that there are: that many take a gigabyte. */
const maxMerged = 10_000_000

/**
 * Splits a source at the lines that begin a document, which nothing inside one can look like (YAML 1.2.2, 9.1.2, c-forbidden), and between
 * objects of JSON that follow each other without such a line, as `jq` prints them and kubectl reads them.
 */
export function* documentsOf(source: Source): Generator<Document> {
  const marker = /^---(?=\s|$)|^\{(?!\{)(?<=\}\s*\{)/gm
  let [start, line] = [0, 1]
  const part = (end: number): Document => ({ source, text: source.text.slice(start, end), line })
  const isJSON = (): boolean => {
    const opening = /(---[^\n]*\n)?\s*\{(?!\{)/y
    opening.lastIndex = start
    return opening.test(source.text)
  }
  let isInJSON = isJSON()
  for (const { index, 0: found } of source.text.matchAll(marker)) {
    if (index === 0 || (found === '{' && !isInJSON)) continue
    const document = part(index)
    yield document
    for (let at = source.text.indexOf('\n', start); at !== -1 && at < index; at = source.text.indexOf('\n', at + 1))
      line++
    start = index
    isInJSON = isJSON()
  }
  yield part(source.text.length)
}

const unreadable = ({ source, line }: Document, at: Position, problem: string): Unreadable => ({
  source: source.name,
  line: line + at.line - 1,
  column: at.column,
  problem,
})

const start: Position = { line: 1, column: 1 }

/** What is left out takes time that grows with the square of a text's length. */
const parse = (text: string, lineCounter: LineCounter): YAML.Parsed =>
  parseDocument(text, { ...asKubectlReads, uniqueKeys: false, prettyErrors: false, lineCounter })

type Problem = { at: number; problem: string }

/** Whether a key is the `<<` that brings in other maps. */
const isMerge = (key: unknown): boolean => isScalar(key) && typeof key.value === 'symbol'

/** A key as objects have it, for which 80 and "80" are one; what is no text is like no other. */
const nameOf = (key: unknown): unknown => (isScalar(key) && !isMerge(key) ? String(key.value) : key)

/** Where two objects stand in one document, the second begins with keys that the first has. */
const markerHint = ': is --- missing between two objects?'

/** What is no object although it parses, and where. The parser itself would tell of it without a place, or not at all. */
const refusedIn = (parsed: YAML.Parsed): Problem | undefined => {
  let refused: Problem | undefined
  const refuse = ({ range }: Node, problem: string): symbol => {
    refused = { at: Number(range?.[0]), problem }
    return visit.BREAK
  }
  let [keyCount, aliasCount, hasMerge] = [0, 0, false]
  const refuseKeys = ({ items }: YAMLMap, isWhole: boolean): symbol | undefined => {
    keyCount += items.length
    const names = new Set<unknown>()
    for (const { key } of items) {
      if (isCollection(key) || (isScalar(key) && key.value === null)) return refuse(key, 'a key must be a text')
      if (isMerge(key)) hasMerge = true
      const name = nameOf(key)
      if (names.has(name))
        return refuse(key as Node, `the key ${name} is there for the second time${isWhole ? markerHint : ''}`)
      names.add(name)
    }
    return undefined
  }
  const anchors = new Set<string>()
  visit(parsed, {
    Value: (_key, node, { length: depth }) => {
      if (node.anchor !== undefined) anchors.add(node.anchor)
      return isMap(node) ? refuseKeys(node, depth === 1) : undefined
    },
    Alias: (_key, alias) => {
      aliasCount++
      if (anchors.has(alias.source)) return undefined
      return refuse(alias, `no anchor &${alias.source} stands before it in its document`)
    },
  })
  return hasMerge && keyCount * aliasCount > maxMerged
    ? { at: 0, problem: 'it merges more than anybody means' }
    : refused
}

/** What to say of some of the parser's errors instead of what it says. */
const problems: { readonly [code: string]: string } = {
  RESOURCE_EXHAUSTION: 'it is nested deeper than any object is',
  MULTIPLE_DOCS: 'after the ... that ends a document kubectl reads no further: begin another one with ---',
}

/** What kept the parser from reading a document. */
const syntaxProblem = ({ errors: [error] }: YAML.Parsed): Problem | undefined =>
  error && { at: error.pos[0], problem: problems[error.code] ?? error.message }

/** What to say of a text that is too long to be read. */
const lengthProblem = (text: string): string | undefined => {
  const { length } = text
  if (length <= maxLength) return undefined
  const isList = listKind.test(text)
  if (isList && length <= maxListLength) return undefined
  return isList
    ? `a List of ${length} characters, of which 20 MiB are read at most: get it in parts, such as one namespace at a time`
    : `a document of ${length} characters: the API server takes 3 MiB at most`
}

/** The value of a document; undefined where it has none. */
export const readDocument = (document: Document): { value: unknown } | Unreadable => {
  const { text } = document
  const long = lengthProblem(text)
  if (long !== undefined) return unreadable(document, start, long)
  const lines = new LineCounter()
  const parsed = parse(text, lines)
  const wrong = syntaxProblem(parsed) ?? refusedIn(parsed)
  if (wrong !== undefined) {
    const { line, col } = lines.linePos(wrong.at)
    return unreadable(document, { line, column: col }, wrong.problem)
  }
  try {
    return { value: parsed.toJS({ maxAliasCount }) }
  } catch (cause) {
    // More aliases than any file has that was written by a person.
    return unreadable(document, start, (cause as Error).message)
  }
}

export type Path = readonly (string | number)[]

/** `spec.http[0].match` as the steps to it; `metadata.labels[istio.io/rev]` is the key of a map. */
export const stepsOf = (field: string): (string | number)[] =>
  [...field.matchAll(/\[(\d+)\]|\[([^\]]+)\]|([^.[\]]+)/g)].map(([, index, key, name]) =>
    index === undefined ? String(key ?? name) : Number(index),
  )

/** The nodes of a document by where they stand in it. */
class Nodes {
  readonly #root: Node | null
  /** What each alias stands for: an anchor may be set more than once. */
  readonly #targets = new Map<unknown, unknown>()

  constructor(parsed: YAML.Parsed) {
    this.#root = parsed.contents
    const anchors = new Map<string, unknown>()
    visit(parsed, {
      Value: (_key, node) => {
        if (node.anchor !== undefined) anchors.set(node.anchor, node)
      },
      Alias: (_key, alias) => {
        this.#targets.set(alias, anchors.get(alias.source))
      },
    })
  }

  #meant(node: unknown): unknown {
    return this.#targets.get(node) ?? node
  }

  /** What a map or a list has at a step, its own before what is merged into it. */
  #childOf(parent: unknown, step: string | number): unknown {
    if (isSeq(parent)) return this.#meant(parent.get(step, true))
    if (!isMap(parent)) return undefined
    const own = parent.items.find(({ key }) => nameOf(this.#meant(key)) === String(step))
    if (own !== undefined) return this.#meant(own.value)
    return parent.items
      .filter(({ key }) => isMerge(key))
      .map(({ value }) => this.#meant(value))
      .flatMap((merged) => (isSeq(merged) ? merged.items.map((one) => this.#meant(one)) : [merged]))
      .map((merged) => this.#childOf(merged, step))
      .find((child) => child !== undefined)
  }

  /** The node at a path, or the last one on the way to it. What is by alias is where its anchor is: there it can be changed. */
  at(path: Path): { node: Node | null; isWhole: boolean } {
    let node = this.#root
    for (const step of path) {
      const next = this.#childOf(node, step)
      if (next === undefined || next === null) return { node, isWhole: false }
      node = next as Node
    }
    return { node, isWhole: true }
  }
}

/** Where a value stands, the line that it is in, and how many characters of that it takes. */
export type Place = { position: Position; length: number; excerpt: string }

/** Where in a document the values at these paths stand. What is left out stands at the beginning of what it would be in. */
export const positionsOf = ({ text, line }: Document, paths: readonly Path[]): Place[] => {
  const lines = new LineCounter()
  const nodes = new Nodes(parse(text, lines))
  const all = text.split(/\r?\n/)
  return paths.map((path) => {
    const { node, isWhole } = nodes.at(path)
    const [from, to] = node?.range ?? [0, 0]
    const at = lines.linePos(from)
    const position = { line: line + at.line - 1, column: at.col }
    const excerpt = all[at.line - 1] as string
    // One line of it is marked, and of what is not there but a point.
    const length = isWhole && isScalar(node) ? Math.min(to - from, excerpt.length - position.column + 1) : 1
    return { position, length: Math.max(length, 1), excerpt }
  })
}
