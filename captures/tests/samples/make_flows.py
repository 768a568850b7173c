"""Writes flows-21.mitm: python make_flows.py FILE, with mitmproxy 11 installed."""
from mitmproxy import http, flow, connection, tcp, dns, version
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow, tutils
import sys, wsproto
from mitmproxy.websocket import WebSocketMessage, WebSocketData
T=1700000000.0
fs=[]
def mk(i, **kw):
    f=tflow.tflow(resp=True)
    f.request=http.Request.make('POST' if i%2 else 'GET', f'http://shop.test:8080/items/{i}?q=%C3%BC', b'{"n":%d}'%i if i%2 else b'', {'host':'shop.test:8080','user-agent':'sample/1','cookie':'sid=abcdef0123456789%d'%i})
    f.request.timestamp_start=T+i; f.request.timestamp_end=T+i+.001
    f.response.timestamp_start=T+i+.25; f.response.timestamp_end=T+i+.5
    f.client_conn.peername=('10.0.0.%d'%(i%2+1),40000+i); f.client_conn.id='conn-%d'%(i//2)
    return f
for i in range(4): fs.append(mk(i))
f=mk(4); f.response=None; f.error=flow.Error('server closed connection', T+5); fs.append(f)
f=mk(5); f.response.data.content=None; f.response.headers['content-length']='1234567'; fs.append(f)
f=mk(6); f.response.status_code=101; f.websocket=WebSocketData(messages=[WebSocketMessage(1,True,b'hello',T+6.5),WebSocketMessage(2,False,b'\xff\x00',T+6.75),WebSocketMessage(1,True,b'injected',T+6.8,False,True)],closed_by_client=True,close_code=1000,close_reason='bye',timestamp_end=T+7); fs.append(f)
fs.append(tflow.ttcpflow()); fs.append(tflow.tudpflow()); fs.append(tflow.tdnsflow())
f=mk(7); f.is_replay='request'; fs.append(f)
f=mk(8); f.backup(); f.request.path='/edited'; fs.append(f)
with open(sys.argv[1],'wb') as o:
    w=FlowWriter(o)
    for f in fs: w.add(f)
