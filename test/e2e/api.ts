import { Agent } from 'undici'
import { loadKubeConfig } from '../../src/kubernetes/config.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'

export type Method = 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT'
export type Answer = { status: number; text: string; warning: string }

/** The API server as its admin sees it, or a user that the admin impersonates, over kept connections. */
export const openApi = ({ kubeconfig, server }: Pick<ControlPlane, 'kubeconfig' | 'server'>, as?: string) => {
  const config = loadKubeConfig(kubeconfig)
  const ca = Buffer.from(config.getCurrentCluster()?.caData ?? '', 'base64')
  const authorization = `Bearer ${config.getCurrentUser()?.token}`
  const agent = new Agent({ connect: { ca }, allowH2: false })
  const request = async (method: Method, path: string, type: string, body?: object, signal?: AbortSignal) => {
    const { statusCode, headers, ...answer } = await agent.request({
      origin: server,
      method,
      path,
      headers: { authorization, 'content-type': type, ...(as === undefined ? {} : { 'impersonate-user': as }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
    return { status: statusCode, text: await answer.body.text(), warning: String(headers.warning ?? '') }
  }
  return {
    send: (method: Method, path: string, body?: object, signal?: AbortSignal): Promise<Answer> =>
      request(method, path, method === 'PATCH' ? 'application/merge-patch+json' : 'application/json', body, signal),
    close: () => agent.destroy(),
  }
}

export type Api = ReturnType<typeof openApi>
