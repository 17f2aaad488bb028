import { isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument } from 'yaml'
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

/** Deeper than any schema; the API server's own parser gives up at 10,000. */
const maxDepth = 200

/** Splits a source at the lines that begin a document, which nothing inside one can look like (YAML 1.2.2, 9.1.2, c-forbidden). */
export function* documentsOf(source: Source): Generator<Document> {
  const marker = /^---(?=\s|$)/gm
  let [start, line] = [0, 1]
  const part = (end: number): Document => ({ source, text: source.text.slice(start, end), line })
  for (const { index } of source.text.matchAll(marker)) {
    if (index === 0) continue
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

/** The value of a document; undefined where it has none. */
export const readDocument = (document: Document): { value: unknown } | Unreadable => {
  const { text } = document
  if (text.length > maxLength)
    return unreadable(document, start, `a document of ${text.length} characters: the API server takes 3 MiB at most`)
  const deep = tooDeep(text)
  if (deep !== undefined) return unreadable(document, deep, 'it is nested deeper than any object is')
  const lines = new LineCounter()
  const parsed = parseDocument(text, { ...asKubectlReads, lineCounter: lines })
  const [error] = parsed.errors
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0])
    return unreadable(
      document,
      { line, column: col },
      String(error.message.split('\n', 1)[0]).replace(/ at line \d+, column \d+:?$/, ''),
    )
  }
  try {
    return { value: parsed.toJS() }
  } catch (cause) {
    // An alias without its anchor, or more of them than any file has that was written by a person.
    return unreadable(document, start, (cause as Error).message)
  }
}

export type Path = readonly (string | number)[]

/** `spec.http[0].match` as the steps to it. */
export const stepsOf = (field: string): (string | number)[] =>
  [...field.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, key]) =>
    index === undefined ? String(key) : Number(index),
  )

/** The node at a path, or the last one on the way to it. */
const nodeAt = (root: ParsedNode | null, path: Path): { node: ParsedNode | null; isWhole: boolean } => {
  let node = root
  for (const step of path) {
    const next: unknown = isMap(node) || isSeq(node) ? node.get(step, true) : undefined
    if (next === undefined || next === null) return { node, isWhole: false }
    node = next as ParsedNode
  }
  return { node, isWhole: true }
}

/** Where in a document the values at these paths stand. What is left out stands at the beginning of what it would be in. */
export const positionsOf = (
  { text, line }: Document,
  paths: readonly Path[],
): { position: Position; length: number; excerpt: string }[] => {
  const lines = new LineCounter()
  const parsed = parseDocument(text, { ...asKubectlReads, lineCounter: lines })
  const all = text.split(/\r?\n/)
  return paths.map((path) => {
    const { node, isWhole } = nodeAt(parsed.contents, path)
    const [from, to] = node?.range ?? [0, 0]
    const at = lines.linePos(from)
    const position = { line: line + at.line - 1, column: at.col }
    const excerpt = all[at.line - 1] as string
    // One line of it is marked, and of what is not there but a point.
    const length = isWhole && isScalar(node) ? Math.min(to - from, excerpt.length - position.column + 1) : 1
    return { position, length: Math.max(length, 1), excerpt }
  })
}
