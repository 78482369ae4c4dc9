"""The only room that touches sockets: heads, bodies, connections, pools, deadlines."""
