import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export type Log = (line: string) => void

const LOCK = '.lock'
const POLL_MS = 250
const REMIND_MS = 60_000
/** Six times a cold build on two cores: beyond it the other process is taken to hang. */
const MAX_WAIT_MS = 30 * 60_000

/** The folder outside the work tree where built files stay, `$XDG_CACHE_HOME/meshvip/testbed`. */
export const cacheRoot = (): string => {
  const xdg = process.env.XDG_CACHE_HOME
  // The XDG base directory specification has a relative path ignored.
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.cache')
  return join(base, 'meshvip', 'testbed')
}

/** True where `path` exists; any failure other than its absence is thrown. */
export const exists = async (path: string): Promise<boolean> => {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** The file that a variable of the environment names; undefined where it names none. Throws where there is no such file. */
export const fileNamedBy = async (variable: string): Promise<string | undefined> => {
  const named = process.env[variable]
  if (named === undefined || named === '') return undefined
  if (!(await exists(named))) throw new Error(`${variable}=${named} does not exist; correct it or unset it`)
  return resolve(named)
}

/** True for a system error with one of these codes. */
export const hasCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

/**
 * The folder `path`, made by `fill` where it does not exist yet. `fill` writes into a temporary folder beside it, which
 * is renamed into place: a folder that is there is complete. Of several processes one fills and the others wait.
 */
export const cachedFolder = async (
  path: string,
  fill: (folder: string) => Promise<void>,
  log: Log,
): Promise<string> => {
  if (await exists(path)) return path
  await mkdir(dirname(path), { recursive: true })
  const release = await lock(`${path}${LOCK}`, log)
  try {
    if (await exists(path)) return path
    const building = `${path}.building`
    // A process that was killed half-way leaves its folder behind; under the lock nobody else uses it.
    await rm(building, { recursive: true, force: true })
    await mkdir(building)
    await fill(building)
    await rename(building, path)
    return path
  } finally {
    await release()
  }
}

/**
 * Takes the lock directory `path`, which holds one empty file named after its owner's process id, and returns its
 * release. Each step is one rename, which only one of several contenders can win: taking the lock moves a prepared
 * directory into place (refused where a non-empty one is), taking over from a dead owner renames the owner's file.
 */
const lock = async (path: string, log: Log): Promise<() => Promise<void>> => {
  const unique = `${path}.${randomUUID()}`
  const release = async (): Promise<void> => {
    await rename(path, unique)
    await rm(unique, { recursive: true })
  }
  const what = path.slice(0, -LOCK.length)
  const started = Date.now()
  let reminded = Number.NEGATIVE_INFINITY
  for (;;) {
    if (await take(path, unique)) return release
    const owner = await ownerOf(path)
    if (owner !== undefined && !isAlive(owner)) {
      if (await takeOver(path, owner)) {
        log(`process ${owner} died while it made ${what}: starting over`)
        return release
      }
    }
    const now = Date.now()
    if (now - started > MAX_WAIT_MS) {
      throw new Error(`waited ${MAX_WAIT_MS / 60_000} minutes for process ${owner}; if it hangs, remove ${path}`)
    }
    if (owner !== undefined && now - reminded > REMIND_MS) {
      log(`waiting for process ${owner}, which is making ${what}`)
      reminded = now
    }
    await sleep(POLL_MS)
  }
}

const take = async (path: string, unique: string): Promise<boolean> => {
  await mkdir(unique)
  await writeFile(join(unique, String(process.pid)), '')
  try {
    await rename(unique, path)
    return true
  } catch (error) {
    await rm(unique, { recursive: true })
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false
    throw error
  }
}

const takeOver = async (path: string, owner: number): Promise<boolean> => {
  try {
    await rename(join(path, String(owner)), join(path, String(process.pid)))
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Undefined where the lock has been released in between. */
const ownerOf = async (path: string): Promise<number | undefined> => {
  try {
    const [name] = await readdir(path)
    return name === undefined ? undefined : Number(name)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and belongs to someone else.
    return !hasCode(error, 'ESRCH')
  }
}
