create database taskq
