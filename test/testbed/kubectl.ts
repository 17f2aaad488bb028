import { join } from 'node:path'
import { type ProgramResult, runProgram } from './programs.ts'

export type KubectlResult = ProgramResult
/** `input` is its stdin (empty where not given); `as` the user to impersonate; `editor` the command that kubectl edit runs. */
export type KubectlOptions = { input?: string; as?: string; editor?: string }
export type Kubectl = (args: string[], options?: KubectlOptions) => Promise<KubectlResult>

/**
 * A kubectl bound to one kubeconfig, with an otherwise empty environment: `home` takes the discovery cache, which must
 * not leak from one server to the next on the same port.
 */
export const bindKubectl =
  (binary: string, kubeconfig: string, home: string): Kubectl =>
  (args, { input, as, editor } = {}) =>
    runProgram(binary, as === undefined ? args : [`--as=${as}`, ...args], {
      // kubectl diff runs the diff that it finds in PATH, and kubectl edit leaves what was refused in TMPDIR.
      env: {
        HOME: home,
        PATH: process.env.PATH,
        TMPDIR: home,
        KUBECONFIG: kubeconfig,
        KUBECACHEDIR: join(home, 'kubectl-cache'),
        ...(editor === undefined ? {} : { KUBE_EDITOR: editor }),
      },
      input,
    })
