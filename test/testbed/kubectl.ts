import { spawn } from 'node:child_process'
import { join } from 'node:path'

export type KubectlResult = { code: number; stdout: string; stderr: string }
/** `input` is its stdin (empty where not given); `as` the user to impersonate; `editor` the command that kubectl edit runs. */
export type KubectlOptions = { input?: string; as?: string; editor?: string }
export type Kubectl = (args: string[], options?: KubectlOptions) => Promise<KubectlResult>

const LIMIT_MS = 120_000

/**
 * A kubectl bound to one kubeconfig, with an otherwise empty environment: `home` takes the discovery cache, which must
 * not leak from one server to the next on the same port. An exit code other than 0 is a result and not an error; the
 * promise rejects where kubectl cannot be started, or is ended by a signal (after two minutes).
 */
export const bindKubectl =
  (binary: string, kubeconfig: string, home: string): Kubectl =>
  (args, options = {}) =>
    new Promise((resolve, reject) => {
      const all = options.as === undefined ? args : [`--as=${options.as}`, ...args]
      // kubectl diff runs the diff that it finds in PATH, and kubectl edit leaves what was refused in TMPDIR.
      const env = {
        HOME: home,
        PATH: process.env.PATH,
        TMPDIR: home,
        KUBECONFIG: kubeconfig,
        KUBECACHEDIR: join(home, 'kubectl-cache'),
        ...(options.editor === undefined ? {} : { KUBE_EDITOR: options.editor }),
      }
      const child = spawn(binary, all, { env, timeout: LIMIT_MS, killSignal: 'SIGKILL' })
      const result = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (text: string) => {
          result[name] += text
        })
      }
      child.once('error', reject)
      child.once('close', (code, signal) => {
        if (code !== null) resolve({ code, ...result })
        else reject(new Error(`kubectl ${args.join(' ')} was ended by ${signal}: ${result.stderr}`))
      })
      // A kubectl that fails before it reads its input closes the pipe; its exit code tells why.
      child.stdin.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') reject(error)
      })
      child.stdin.end(options.input ?? '')
    })
