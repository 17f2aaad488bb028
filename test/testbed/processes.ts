import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A server that runs until it is stopped. `ended` resolves once, with how it ended; it never rejects. */
export type Server = { name: string; child: ChildProcess; logFile: string; ended: Promise<string>; how?: string }

/**
 * Starts a server whose output is appended to `logFile`. Its environment is empty but for HOME, so that no ETCD_* or
 * KUBE_FEATURE_* variable or proxy of the caller changes it. It does not keep Node alive.
 */
export const startServer = (name: string, command: string, args: string[], logFile: string, home: string): Server => {
  const fd = openSync(logFile, 'a')
  const child = spawn(command, args, { cwd: home, env: { HOME: home }, stdio: ['ignore', fd, fd] })
  closeSync(fd)
  child.unref()
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`))
    child.once('exit', (code, signal) => resolve(signal === null ? `exited with ${code}` : `was ended by ${signal}`))
  })
  const server: Server = { name, child, logFile, ended }
  void ended.then((how) => {
    server.how = how
  })
  return server
}

/** Ends a server: SIGTERM, and SIGKILL after `graceMs` (at once for 0). Resolves when it is gone; harmless twice. */
export const stopServer = async (server: Server, graceMs: number): Promise<void> => {
  if (server.how !== undefined) return
  // Without this Node would end while it waits.
  server.child.ref()
  if (graceMs > 0) {
    server.child.kill('SIGTERM')
    const timer = new AbortController()
    const timeout = sleep(graceMs, undefined, { signal: timer.signal }).catch(() => 'cancelled')
    await Promise.race([server.ended, timeout])
    timer.abort()
  }
  server.child.kill('SIGKILL')
  await server.ended
}

/** So many different TCP ports that were free on 127.0.0.1 a moment ago; someone else may take one before it is used. */
export const freePorts = async (count: number): Promise<number[]> => {
  // All are held open together, or the system would hand out the same one again.
  const listeners = await Promise.all(Array.from({ length: count }, () => listen()))
  await Promise.all(listeners.map(({ close }) => close()))
  return listeners.map(({ port }) => port)
}

const listen = (): Promise<{ port: number; close: () => Promise<void> }> =>
  new Promise((resolve, reject) => {
    const listener = createServer()
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', () => {
      const address = listener.address()
      if (address === null || typeof address === 'string') return reject(new Error('no TCP port'))
      const close = (): Promise<void> =>
        new Promise((closed, failed) => listener.close((error) => (error ? failed(error) : closed())))
      resolve({ port: address.port, close })
    })
  })

/** The last lines of a text file. */
export const tail = async (file: string, lines = 20): Promise<string> =>
  (await readFile(file, 'utf8')).trimEnd().split('\n').slice(-lines).join('\n')
