import type { Dirent } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { printable, shownProblem } from '../rules/message.ts'
import { UsageError } from '../usage-error.ts'

/** A text with manifests in it, and what it is called in reports: its path as it was given, or `stdin`. */
export type Source = { name: string; text: string }

/** What cannot be read as manifests, and where. Lines and columns count from 1. */
export type Unreadable = { source: string; line: number; column: number; problem: string }

/** What cannot be read, and where, as it may be shown in one line. */
export const shownUnreadable = ({ source, line, column, problem }: Unreadable): string =>
  `${printable(source)}:${line}:${column}: ${shownProblem(problem)}`

const fatal = new TextDecoder('utf-8', { fatal: true })

/** Line and column of what comes after a text. */
const endOf = (text: string): { line: number; column: number } => ({
  line: text.split('\n').length,
  column: text.length - text.lastIndexOf('\n'),
})

/** Line and column of the first byte that is no UTF-8. */
const firstBadByte = (bytes: Uint8Array): { line: number; column: number } => {
  let [low, high] = [0, bytes.length]
  // What is valid up to a byte may end within a character: then it is its first byte that counts.
  while (low < high) {
    const middle = (low + high + 1) >> 1
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true })
      low = middle
    } catch {
      high = middle - 1
    }
  }
  return endOf(new TextDecoder().decode(bytes.subarray(0, low), { stream: true }))
}

/** What kubectl takes for no character of YAML or JSON (YAML 1.2.2, 5.1, c-printable). */
const noText = /[^\t\n\r -~\u0085\u00a0-\ufffd]/

/** Text that no API server could be sent: it is no UTF-8, or has characters that neither YAML nor JSON takes. */
const decode = (bytes: Uint8Array, name: string): Source | Unreadable => {
  let text: string
  try {
    text = fatal.decode(bytes)
  } catch {
    return { source: name, ...firstBadByte(bytes), problem: 'it is not UTF-8 from here on: save it as UTF-8' }
  }
  const found = noText.exec(text)
  if (found === null) return { name, text }
  const what =
    found[0] === '\0' ? 'a NUL character' : `the character U+${found[0].charCodeAt(0).toString(16).padStart(4, '0')}`
  return {
    source: name,
    ...endOf(text.slice(0, found.index)),
    problem: `${what}, which no manifest has: is it a binary file?`,
  }
}

const reading = async <T>(path: string, read: () => Promise<T>): Promise<T> => {
  try {
    return await read()
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** One that is in a folder but cannot be read hides none of the others there. */
const readSource = async (file: string): Promise<Source | Unreadable> => {
  try {
    return decode(await readFile(file), file)
  } catch (error) {
    return { source: file, line: 1, column: 1, problem: `it cannot be read: ${(error as Error).message}` }
  }
}

/** Whether a folder has a file there, or a link to one; of a link that leads nowhere, reading it will tell. */
const isFile = async (entry: Dirent): Promise<boolean> => {
  if (!entry.isSymbolicLink()) return entry.isFile()
  try {
    return (await stat(join(entry.parentPath, entry.name))).isFile()
  } catch {
    return true
  }
}

/** The manifests of a folder and those below it, in the order of their names; folders of version control are passed over. */
const filesOf = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const named = entries.filter(
    ({ name, parentPath }) => /\.(ya?ml|json)$/.test(name) && !/(^|\/)(\.git|node_modules)(\/|$)/.test(parentPath),
  )
  const files: string[] = []
  for (const entry of named) if (await isFile(entry)) files.push(join(entry.parentPath, entry.name))
  return files.sort()
}

/**
 * Reads files, folders, and for `-` the standard input, one after the other, and each only once. Throws UsageError where one is not there
 * or has nothing in it that could be a manifest.
 */
export async function* readSources(
  paths: readonly string[],
  stdin: AsyncIterable<Uint8Array>,
): AsyncGenerator<Source | Unreadable> {
  const seen = new Set<string>()
  for (const path of new Set(paths)) {
    if (path === '-') {
      yield decode(await buffer(stdin), 'stdin')
      continue
    }
    const isFolder = (await reading(path, () => stat(path))).isDirectory()
    const files = isFolder ? await reading(path, () => filesOf(path)) : [path]
    if (files.length === 0) throw new UsageError(`${path} has no .yaml, .yml or .json file in it`)
    for (const file of files) {
      if (seen.has(resolve(file))) continue
      seen.add(resolve(file))
      yield await readSource(file)
    }
  }
}
