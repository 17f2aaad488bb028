import {
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Document as ParsedDocument,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'
import { asKubectlReads } from '../api/manifest-yaml.ts'
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

/** More aliases, counted through those of those, than a person writes into a document. */
const maxAliasCount = 1_000

/** How many keys may come of merges, were each alias one of all the keys that there are: that many take a gigabyte. */
const maxMerged = 10_000_000

/** Deeper than any schema; the API server's own parser gives up at 10,000. */
const maxDepth = 200

/**
 * Splits a source at the lines that begin a document, which nothing inside one can look like (YAML 1.2.2, 9.1.2, c-forbidden), and
 * between JSON values that follow each other line by line, as kubectl does.
 */
export function* documentsOf(source: Source): Generator<Document> {
  const marker = /^---(?=\s|$)|(?<=\}\s*\n)\{(?!\{)/gm
  let [start, line] = [0, 1]
  const part = (end: number): Document => ({ source, text: source.text.slice(start, end), line })
  const isJSON = (): boolean => {
    const opening = /(---.*\n)?\s*\{(?!\{)/y
    opening.lastIndex = start
    return opening.test(source.text)
  }
  for (const { index, 0: found } of source.text.matchAll(marker)) {
    if (index === 0 || (found === '{' && !isJSON())) continue
    const document = part(index)
    yield document
    for (let at = source.text.indexOf('\n', start); at !== -1 && at < index; at = source.text.indexOf('\n', at + 1))
      line++
    start = index
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

/**
 * The first place at which brackets or indentation are nested deeper than anything that is meant as an object: parsers that call
 * themselves for each level end there.
 */
const tooDeep = (text: string): Position | undefined => {
  let depth = 0
  let [line, lineStart] = [1, 0]
  // Whether the line has been nothing yet but indentation and what begins nested blocks.
  let isIndent = true
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i)
    if (character === '\n') {
      line++
      lineStart = i + 1
      isIndent = true
      continue
    }
    isIndent &&= ' -?:'.includes(character)
    if (character === '[' || character === '{') depth++
    else if ((character === ']' || character === '}') && depth > 0) depth--
    if (depth > maxDepth || (isIndent && i - lineStart > 4 * maxDepth)) return { line, column: i - lineStart + 1 }
  }
  return undefined
}

type Parsed = ParsedDocument.Parsed

/** Errors are not made pretty, which takes the whole line for each. */
const parse = (text: string, lineCounter: LineCounter): Parsed =>
  parseDocument(text, { ...asKubectlReads, uniqueKeys: false, prettyErrors: false, lineCounter })

/** Whether a key is the `<<` that brings in other maps. */
const isMerge = (key: unknown): boolean => isScalar(key) && typeof key.value === 'symbol'

/**
 * What is no object although it parses, and where. The parser itself would tell of it without a place or not at all, and compare each key
 * with all before it.
 */
const refusedIn = (parsed: Parsed): { offset: number; problem: string } | undefined => {
  let refused: { offset: number; problem: string } | undefined
  const refuse = (node: Node, problem: string): symbol => {
    refused = { offset: Number(node.range?.[0]), problem }
    return visit.BREAK
  }
  let [keyCount, aliasCount, hasMerge] = [0, 0, false]
  const refuseKeys = ({ items }: YAMLMap): symbol | undefined => {
    keyCount += items.length
    const keys = new Set<unknown>()
    for (const { key } of items) {
      if (isCollection(key))
        return refuse(key, 'a map or a list for a key, which no object has: is it a template that is not rendered yet?')
      if (!isScalar(key)) continue
      if (isMerge(key)) hasMerge = true
      if (keys.has(key.value)) return refuse(key, 'Map keys must be unique')
      keys.add(key.value)
    }
    return undefined
  }
  const anchors = new Set<string>()
  visit(parsed, {
    Value: (_key, node) => {
      if (node.anchor !== undefined) anchors.add(node.anchor)
      return isMap(node) ? refuseKeys(node) : undefined
    },
    Alias: (_key, alias) => {
      aliasCount++
      if (anchors.has(alias.source)) return undefined
      return refuse(alias, `no anchor &${alias.source} stands before it in its document`)
    },
  })
  return hasMerge && keyCount * aliasCount > maxMerged
    ? { offset: 0, problem: 'it merges more than anybody means' }
    : refused
}

const behindEnd = 'after the ... that ends a document kubectl reads no further: begin another one with ---'

/** The value of a document; undefined where it has none. */
export const readDocument = (document: Document): { value: unknown } | Unreadable => {
  const { text } = document
  if (text.length > maxLength)
    return unreadable(document, start, `a document of ${text.length} characters: the API server takes 3 MiB at most`)
  const deep = tooDeep(text)
  if (deep !== undefined) return unreadable(document, deep, 'it is nested deeper than any object is')
  const lines = new LineCounter()
  const unreadableAt = (offset: number, problem: string): Unreadable => {
    const { line, col } = lines.linePos(offset)
    return unreadable(document, { line, column: col }, problem)
  }
  const parsed = parse(text, lines)
  const [error] = parsed.errors
  if (error !== undefined) {
    return unreadableAt(error.pos[0], error.code === 'MULTIPLE_DOCS' ? behindEnd : error.message)
  }
  const refused = refusedIn(parsed)
  if (refused !== undefined) return unreadableAt(refused.offset, refused.problem)
  try {
    return { value: parsed.toJS({ maxAliasCount }) }
  } catch (cause) {
    // More aliases than any file has that was written by a person.
    return unreadable(document, start, (cause as Error).message)
  }
}

export type Path = readonly (string | number)[]

/** `spec.http[0].match` as the steps to it; what is no number between brackets is a key: `metadata.labels[app/name]`. */
export const stepsOf = (field: string): (string | number)[] =>
  [...field.matchAll(/\[(\d+)\]|\[([^\]]+)\]|([^.[\]]+)/g)].map(([, index, bracketed, key]) =>
    index === undefined ? String(bracketed ?? key) : Number(index),
  )

/** The nodes of a document by where they stand in it. */
class Nodes {
  readonly #root: Node | null
  /** What each alias stands for: an anchor may be set more than once. */
  readonly #targets = new Map<unknown, unknown>()

  constructor(parsed: Parsed) {
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
    if (!isCollection(parent)) return undefined
    const own: unknown = parent.get(step, true)
    if (own !== undefined || !isMap(parent)) return this.#meant(own)
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

/** Where in a document the values at these paths stand. What is left out stands at the beginning of what it would be in. */
export const positionsOf = (
  { text, line }: Document,
  paths: readonly Path[],
): { position: Position; length: number; excerpt: string }[] => {
  const lines = new LineCounter()
  const parsed = parse(text, lines)
  const nodes = new Nodes(parsed)
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
